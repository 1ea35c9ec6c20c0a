"""Pictures and documents for a model that reads text alone: it declines what it is asked about them, in words.

Servers that are asked elsewhere say for themselves what they cannot look at; of the engines in this process it is known.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from agent_api.openai.talk import Ended, Talk, Turn
from agent_core.chat import ModelProfile
from agent_core.messages import File, FinishReason, Image, Message, Part, Text, Usage

_IN_PROCESS = ("local:", "llama:", "mistralrs:")
_PICTURE = Text(text="[a picture, which you cannot look at]")
_FILE = Text(text="[a file, which you cannot read]")


def reads_text_alone(profile: ModelProfile) -> bool:
    """Whether it is known that the model looks at no pictures and no files."""
    return not profile.vision and profile.name.startswith(_IN_PROCESS)


def as_read(messages: list[Message], profile: ModelProfile) -> list[Message]:
    """The messages; for a model that reads text alone with a note in the place of each picture and file."""
    if not reads_text_alone(profile):
        return messages
    return [replace(message, parts=tuple(map(_noted, message.parts))) for message in messages]


def refusal_of(messages: Sequence[Message], profile: ModelProfile) -> Message | None:
    """What a model that reads text alone says to what a person shows it; None: it can be asked.

    What was shown earlier does not end the conversation: it was declined then, and `as_read` tells of it.
    """
    if not reads_text_alone(profile):
        return None
    for message in reversed(messages):
        if message.role not in {"user", "system"}:
            break
        if message.role == "user" and any(isinstance(part, Image | File) for part in message.parts):
            text = f"I cannot look at pictures or files: {profile.name} reads text alone. Tell me in words what is in them."
            return Message(role="assistant", parts=(Text(text=text, refusal=True),))
    return None


async def declined(message: Message) -> Talk:
    """A refusal as a talk: nobody was asked, and nothing is spent."""
    yield Turn(message=message)
    yield Ended(finish_reason=FinishReason.STOP, usage=Usage())


def _noted(part: Part) -> Part:
    match part:
        case Image():
            return _PICTURE
        case File():
            return _FILE
        case _:
            return part
