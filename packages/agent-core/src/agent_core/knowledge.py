"""The words of knowledge bases: what a search asks for and what it gives. Knows no storage and no model."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

MetadataValue: TypeAlias = str | int | float | bool
"""What a field of metadata may hold."""


class Between(msgspec.Struct, frozen=True, kw_only=True):
    """A range, both ends included. Dates are text as ISO 8601 writes them, so that they sort."""

    at_least: str | int | float | None = None
    at_most: str | int | float | None = None


Filters: TypeAlias = Mapping[str, MetadataValue | Sequence[MetadataValue] | Between]
"""All must hold: a field equals the value, is one of the values, or lies in the range."""


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a passage stands, exactly enough to look it up."""

    source: str
    """The file's path or the page's address, as it was given when it was ingested."""
    title: str = ""
    page: int | None = None
    """From 1, where the source has pages: the page on which the passage begins."""
    heading: str = ""
    """The headings above the passage, outermost first, joined by ` > `; for code, the symbol."""
    start: int = 0
    """The first character in the text of the source as it was parsed, from 0."""
    end: int = 0
    """The character behind the last."""


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a source that answers a query."""

    text: str
    """The characters `citation.start` to `citation.end` of the parsed source, nothing added."""
    score: float
    """Comparable within one answer alone: the larger, the better it fits."""
    citation: Citation
    domain: str = ""
    metadata: Mapping[str, MetadataValue] = {}
