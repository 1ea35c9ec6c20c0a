"""What a skill returned, as text for the model."""

from typing import NamedTuple

import msgspec

from agent_core.media import Attachment
from agent_skills.errors import UnreadableResultError

MAX_RESULT_CHARS = 100_000
"""Characters of one result; the rest is cut off with a note. About 25,000 tokens of English."""


class Attached(msgspec.Struct, frozen=True):
    """What a skill in this process returns that has pictures or files beside its result, for models that look at them.

    The result says in words what is attached: another model reads only that. From a worker the words alone come back.
    """

    result: object
    attachments: tuple[Attachment, ...]


class Served(NamedTuple):
    """A result as the model gets it."""

    text: str
    attachments: tuple[Attachment, ...] = ()


def served(value: object, skill: str, max_chars: int) -> Served:
    """What a skill returned, as the model gets it; errors as `as_text`."""
    if isinstance(value, Attached):
        return Served(as_text(value.result, skill, max_chars), value.attachments)
    return Served(as_text(value, skill, max_chars))


def as_text(value: object, skill: str, max_chars: int = MAX_RESULT_CHARS) -> str:
    """A text as it is, anything else as JSON (None as `null`); cut at `max_chars` characters with a note.

    Raises:
        UnreadableResultError: the value is no text and no JSON.
    """
    if not isinstance(value, str):
        try:
            value = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, RecursionError):
            raise UnreadableResultError(skill, type(value).__name__) from None
    elif not value.isascii():
        # Lone surrogates (from undecodable file names, say) are no text: no journal could store them.
        value = value.encode(errors="replace").decode()
    if len(value) <= max_chars:
        return value
    return f"{value[:max_chars]}\n[cut: the result has {len(value):,} characters, these are the first {max_chars:,}]"
