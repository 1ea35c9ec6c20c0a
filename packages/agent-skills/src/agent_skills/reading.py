"""What a skill can read in a request before any model is asked: seam between a skill and the router.

A reader decides nothing for the model: it narrows what the model may answer, as far as the words of the request do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from agent_core.tools import ToolExample

Choices: TypeAlias = Callable[[str], Mapping[str, Sequence[str]]]
"""Reads a request: for an argument, the values that the request allows, best first. May block; must not write."""


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """What one skill read in one request."""

    request: str
    """The request as the model shall see it, such as digits for number words."""
    sign: float = 0.0
    """How strongly the request itself speaks for the skill (two numbers, a file name), added to the share of the
    examples that do: 0 where nothing does, up to 1."""
    values: Mapping[str, Sequence[str]] = {}
    """For an argument, the values that the request allows, best first."""
    kinds: Mapping[str, Sequence[str]] = {}
    """For an argument, the kind of each of its values, in the same order: examples of other kinds are not shown to the
    model, and kinds that are common among similar examples weigh more."""
    log_weights: Mapping[str, Sequence[float]] = {}
    """For an argument, what speaks against each of its values, in the same order: numbers <= 0, added to what the
    examples say."""


class ReadExample(msgspec.Struct, frozen=True, kw_only=True):
    """An example of a skill, prepared once."""

    shot: ToolExample
    """As the model shall see it."""
    masked: str
    """As the router compares it; see `Reader.mask`."""
    kinds: Mapping[str, str] = {}
    """The kind of each argument's value; see `Understood.kinds`."""


class Reader(Protocol):
    """Reads requests for one skill."""

    def read(self, text: str) -> Understood | None:
        """What the request holds for this skill; None where the skill cannot serve it."""
        ...

    def example(self, example: ToolExample) -> ReadExample:
        """Prepare an example of the skill."""
        ...

    def mask(self, text: str) -> str:
        """The text with the names that this skill knows made equal, as the router compares it."""
        ...


class PlainReader:
    """Reads choices, where there are any, and changes nothing."""

    def __init__(self, choices: Choices | None = None) -> None:
        self._choices = choices

    def read(self, text: str) -> Understood | None:
        """The request as it stands."""
        if self._choices is None:
            return Understood(request=text)
        found = self._choices(text)
        return Understood(request=text, values={name: values for name, values in found.items() if values})

    def example(self, example: ToolExample) -> ReadExample:
        """The example as it stands."""
        return ReadExample(shot=example, masked=example.utterance)

    def mask(self, text: str) -> str:
        """The text as it stands."""
        return text
