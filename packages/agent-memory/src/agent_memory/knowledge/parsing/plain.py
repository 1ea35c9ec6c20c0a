"""Text, Markdown, tables and JSON: decoded as they stand, so that places are those of the file. No library."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator

from agent_core.knowledge import MetadataValue
from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document, Heading, Kind

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 65_536
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t#]*$")
_SETEXT = re.compile(r"^ {0,3}(=+|-{3,})[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_PAIR = re.compile(r"^([A-Za-z][\w-]*):[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_FEW = 0.05
_MAX_RECORDS = 2_000_000


def decoded(content: bytes, source: str) -> str:
    """Bytes as text: by their mark, else UTF-8, else UTF-16 where every other byte is null, else Windows-1252.

    Raises:
        ParseError: these bytes are no text.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    sample = content[:_SAMPLE]
    nulls = sample.count(0)
    if nulls:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if max(even, odd) > 0.3 * len(sample) / 2 and min(even, odd) < 0.05 * len(sample) / 2:
            told = content.decode("utf-16-le" if odd > even else "utf-16-be", "replace")
            if _strange(told[:_SAMPLE]) < _FEW:
                return told
        if nulls > 0.01 * len(sample):
            raise ParseError(source, "it is binary, not text")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if _strange(sample.decode("latin-1")) > _FEW:
        raise ParseError(source, "it is binary, not text")
    return content.decode("cp1252", "replace")


def _strange(text: str) -> float:
    """The share of signs that no text has: controls, and what stands for what could not be decoded."""
    return sum(1 for sign in text if (sign < " " and sign not in "\t\n\f\r") or sign == "\ufffd") / (
        len(text) or 1
    )


def text(content: bytes, source: str) -> Document:
    """Plain text."""
    return Document(text=decoded(content, source), kind="text")


def markdown(content: bytes, source: str) -> Document:
    """Markdown, with the pairs of its front matter as metadata."""
    return from_markdown(decoded(content, source), source)


def from_markdown(told: str, _source: str = "", kind: Kind = "markdown", title: str = "") -> Document:
    """Text that is Markdown already; parsers of other formats end here."""
    front = _FRONT.match(told)
    metadata: dict[str, MetadataValue] = {}
    if front:
        metadata = {name.lower(): value.strip("\"'") for name, value in _PAIR.findall(front[1])}
    headings = tuple(_headings(told, front.end() if front else 0))
    first = next((heading.text for heading in headings if heading.level == 1), "")
    named = str(metadata.get("title", "")) or title or first
    return Document(text=told, kind=kind, title=named, headings=headings, metadata=metadata)


def _headings(told: str, start: int) -> Iterator[Heading]:
    place, fence = start, ""
    before, before_at = "", start
    for line in told[start:].splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        mark = _FENCE.match(bare)
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        elif not fence:
            atx, setext = _ATX.match(bare), _SETEXT.match(bare)
            if atx:
                yield Heading(place, len(atx[1]), atx[2])
            elif setext and before.strip() and not before.lstrip().startswith(("|", "-", ">")):
                yield Heading(before_at, 1 if setext[1][0] == "=" else 2, before.strip())
        before, before_at = bare, place
        place += len(line)


def table(content: bytes, source: str) -> Document:
    """Comma- or tab-separated values: a record a row, and the first row names the columns."""
    told = decoded(content, source)
    csv.field_size_limit(1 << 24)
    try:
        dialect = csv.Sniffer().sniff(told[:_SAMPLE].rpartition("\n")[0] or told[:_SAMPLE], ",;\t|")
    except csv.Error:
        dialect = csv.excel
    lines = io.StringIO(told, newline="")
    starts: list[int] = []
    try:
        # A row may span lines: what the reader has taken says where the next begins.
        counted = _Counted(lines)
        place = 0
        for _ in csv.reader(counted, dialect):
            starts.append(place)
            place = counted.taken
            if len(starts) > _MAX_RECORDS:
                break
    except csv.Error as error:
        raise ParseError(source, f"it is no table: {error}") from None
    header = told[: starts[1]].strip() if len(starts) > 1 else ""
    return Document(text=told, kind="table", header=header, records=tuple(starts[1:] or starts))


class _Counted:
    def __init__(self, lines: io.StringIO) -> None:
        self._lines = lines
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.taken += len(line)
            yield line


def lines_of_json(content: bytes, source: str) -> Document:
    """JSON Lines: a record a line."""
    told = decoded(content, source)
    starts, place = list[int](), 0
    for line in told.splitlines(keepends=True):
        if line.strip():
            starts.append(place)
        place += len(line)
    return Document(text=told, kind="json", records=tuple(starts))


def json_text(content: bytes, source: str) -> Document:
    """JSON: an element of the outermost list is a record, and so is a member of the outermost object.

    Raises:
        ParseError: it is no JSON.
    """
    told = decoded(content, source)
    try:
        json.loads(told)
    except (ValueError, RecursionError) as error:
        raise ParseError(source, f"it is no JSON: {error}") from None
    return Document(text=told, kind="json", records=tuple(_members(told)))


def _members(told: str) -> Iterator[int]:
    """Where the members of the outermost list or object begin: at a depth of one, behind `[`, `{` or a comma."""
    depth, is_next = 0, False
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{},]|[^\s\[\]{},:"]+', told):
        sign = token[0]
        if is_next and sign not in "]}":
            yield token.start()
            is_next = False
        if sign in "[{":
            depth += 1
            is_next = depth == 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and depth == 1:
            is_next = True
