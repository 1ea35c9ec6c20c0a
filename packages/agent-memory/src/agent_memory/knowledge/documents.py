"""What a parser makes of a file: its text, and where headings, pages and records stand in it. Reads nothing."""

import bisect
import urllib.parse
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from agent_core.knowledge import MetadataValue

Kind: TypeAlias = Literal["text", "markdown", "html", "pdf", "office", "picture", "code", "table", "json"]


class Heading(msgspec.Struct, frozen=True, array_like=True):
    """A heading, or a symbol of code: what the text from `start` on belongs to, until one of its level or above."""

    start: int
    level: int
    text: str


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file as text. All places are characters of `text`, from 0."""

    text: str
    kind: Kind
    title: str = ""
    headings: tuple[Heading, ...] = ()
    """In the order of the text."""
    pages: tuple[int, ...] = ()
    """Where each page begins; empty where the file has none."""
    records: tuple[int, ...] = ()
    """Where each row or element begins, for tables and lists: none is cut through."""
    header: str = ""
    """What names the columns, read with every record."""
    metadata: Mapping[str, MetadataValue] = {}

    def page_at(self, place: int) -> int | None:
        """The number of the page, from 1, that `place` is on."""
        return bisect.bisect_right(self.pages, place) or None if self.pages else None


def suffix_of(source: str) -> str:
    """The end of a file's name, `.pdf`; of a page's address too, and `.html` where that has none."""
    name = source
    if source.startswith(("http://", "https://")):
        name = urllib.parse.urlsplit(source).path
        if "." not in name.rpartition("/")[2]:
            return ".html"
    name = name.rpartition("/")[2]
    return "." + name.rpartition(".")[2].lower() if "." in name else ""
