"""The skills `remember` and `recall`: what shall be known in later conversations. Whatever keeps it is handed in."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from agent_core.ports import ToolContext
from agent_core.tools import Label
from agent_skills.errors import SkillFailedError
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill

Remember: TypeAlias = Callable[[str, ToolContext], Awaitable[None]]
"""Keeps a text; the same idempotency key twice keeps it once."""
Recall: TypeAlias = Callable[[str, int, ToolContext], Awaitable[Sequence[str]]]
"""At most so many texts that fit a query, best first."""

MAX_CHARS = 2_000
MAX_RECALLED = 20
_REMEMBER_EXAMPLES = (
    ("remember that my sister is called Ada", {"text": "My sister is called Ada."}),
    ("note that I am allergic to nuts", {"text": "I am allergic to nuts."}),
    ("keep in mind that the office closes at six", {"text": "The office closes at six."}),
    ("don't forget: the gate code is 4711", {"text": "The gate code is 4711."}),
)
_RECALL_EXAMPLES = (
    ("what do you remember about my sister?", {"query": "my sister"}),
    ("do you recall what I told you about the car", {"query": "the car"}),
    ("what did I say about my diet", {"query": "my diet"}),
    ("what do you know about my plans?", {"query": "my plans"}),
)


class MemoryPlugin:
    """Brings `remember` and `recall`."""

    def __init__(self, remember: Remember, recall: Recall) -> None:
        self._keep = remember
        self._find = recall

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register both."""
        remember = skill(name="remember", examples=_REMEMBER_EXAMPLES, idempotent=True, timeout_s=10.0)
        recall = skill(
            name="recall",
            examples=_RECALL_EXAMPLES,
            # What was once kept may have come from anywhere.
            labels=[Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED],
            idempotent=True,
            timeout_s=10.0,
        )
        register(remember(self._remember))
        register(recall(self._recall))

    async def _remember(self, text: str, context: ToolContext) -> str:
        """Keep something for later conversations.

        Args:
            text: One fact or wish, in a sentence that is understood by itself.
            context: Filled in by the runner.
        """
        kept = " ".join(text.split())
        if not kept or len(kept) > MAX_CHARS:
            raise SkillFailedError(
                f"give a text of 1 to {MAX_CHARS:,} characters; this has {len(kept):,}",
                code="invalid_arguments",
            )
        await self._keep(kept, context)
        return f"Remembered: {kept}"

    async def _recall(self, query: str, context: ToolContext, count: int = 5) -> str:
        """Recall what was said or kept in earlier conversations.

        Args:
            query: What about.
            context: Filled in by the runner.
            count: How many memories, at most 20.
        """
        found = await self._find(query, min(max(count, 1), MAX_RECALLED), context)
        return "\n".join(f"- {one}" for one in found) or "Nothing is remembered about this."
