"""The skill `ask_person`: the model asks the people it works for. It is never run: the machine asks and waits, for days if
need be, and the reply is the result (`ToolSpec.asks`).
"""

from msgspec.structs import replace

from agent_skills.errors import SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill

_EXAMPLES = (
    ("ask me which colour I want", {"question": "Which colour do you want?"}),
    ("if you are not sure, ask me for the date", {"question": "Which date do you mean?"}),
    ("check with me before you choose", {"question": "Which of these shall it be?"}),
)


class AskPersonPlugin:
    """Brings `ask_person`."""

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register it."""
        asked = skill(name="ask_person", examples=_EXAMPLES, idempotent=True, timeout_s=5.0)(_ask)
        asked.spec = replace(asked.spec, asks="question")
        register(asked)


def _ask(question: str) -> str:
    """Ask the person you work for, and wait for the reply. Use it where only they can know or decide.

    Args:
        question: One question, with all that is needed to answer it.
    """
    # Only what is no question comes here, or a call outside of a run.
    raise SkillFailedError(
        f"nobody was asked {question!r}: give one question in words, within a run", code="not_asked"
    )
