"""What agents said to clients that send it back: what had been read before it was said. Else a client's conversation would
lose that, as only what was said stands in it, and what a page made a model say would count as said by nobody in particular.

In memory, and bounded: what is not known any more, or was never said here, counts as said after everything was read.
"""

import hashlib
from collections.abc import Iterable

from agent_core.messages import Message
from agent_core.tools import Label

MAX_KEPT = 20_000
"""About 2 MB."""
_EVERYTHING = (Label.READS_PRIVATE, Label.RETURNS_UNTRUSTED)


class Spoken:
    """Of one tenant."""

    def __init__(self) -> None:
        self._labels: dict[bytes, tuple[Label, ...]] = {}

    def note(self, text: str, labels: Iterable[Label]) -> None:
        """A text was said by a run that had read what has these labels."""
        key = _key(text)
        before = self._labels.pop(key, ())
        self._labels[key] = tuple(sorted({*before, *labels}))
        if len(self._labels) > MAX_KEPT:
            del self._labels[next(iter(self._labels))]

    def read_before(self, earlier: Iterable[Message]) -> tuple[Label, ...]:
        """What had been read before a conversation went on, by what the agent said in it."""
        labels: set[Label] = set()
        for message in earlier:
            if (
                message.role == "tool" or message.tool_calls
            ):  # a client's own tools: nobody knows what they read
                labels.update(_EVERYTHING)
            elif message.role == "assistant" and message.text.strip():
                labels.update(self._labels.get(_key(message.text), _EVERYTHING))
        return tuple(sorted(labels))


def _key(text: str) -> bytes:
    return hashlib.blake2b("".join(text.split()).encode(errors="replace"), digest_size=16).digest()
