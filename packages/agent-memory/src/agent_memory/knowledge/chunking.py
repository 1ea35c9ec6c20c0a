"""From a document to units: what belongs together stays together, and every unit is a stretch of the text. Pure.

Cut first where the document says so (headings, clauses, symbols, records), then at blank lines; a paragraph that is too
long is cut by semchunk at the end of a sentence, a clause, a word.
"""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from agent_core.knowledge import MetadataValue
from agent_memory.knowledge.documents import Document, Heading
from agent_memory.knowledge.domains import Chunking
from agent_memory.knowledge.rows import Unit
from agent_memory.knowledge.terms import with_parts

_semchunk: Any = importlib.import_module("semchunk")  # untyped
_LEAD_WORDS = 15
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_CLAUSE = re.compile(
    r"^[ \t]*((?:article|section|clause|part|chapter|schedule|annex|§)\s*[\dIVXLC]+[\w.]*|\d+(?:\.\d+)+\.?|\d+\.)"
    r"(?=[\s.:)])[^\n]{0,120}",
    re.IGNORECASE | re.MULTILINE,
)
_WORD_CHARACTERS = 6
"""An English word and its space, where counting would cost more than it tells."""
_LONGEST = 20_000
"""A paragraph of more characters is cut here first: finding its best cuts takes more than linear time."""


class Span(NamedTuple):
    """A stretch of a document."""

    start: int
    end: int
    heading: str
    """The headings above, outermost first."""


def units(
    document: Document, chunking: Chunking, *, source: str, digest: str, metadata: Mapping[str, MetadataValue]
) -> list[Unit]:
    """The document in units, in its order; none is empty."""
    spans = list(_cut(document, chunking))
    texts = [document.text[span.start : span.end] for span in spans]
    known = {**document.metadata, **metadata}
    return [
        Unit(
            source=source,
            ordinal=number,
            digest=digest,
            text=texts[number],
            window=_window(document, texts, number, span, chunking.neighbours),
            lead=_lead(document.title, span.heading, texts[number]),
            kind=document.kind,
            title=document.title,
            heading=span.heading,
            page=document.page_at(span.start),
            start=span.start,
            end=span.end,
            metadata=known,
        )
        for number, span in enumerate(spans)
    ]


def _window(document: Document, texts: Sequence[str], number: int, span: Span, neighbours: int) -> str:
    """A unit with its title, headings and header, and the words before and after it."""
    before = after = ""
    if neighbours:
        room = neighbours * _WORD_CHARACTERS
        before = _words(texts[number - 1][-room:], slice(1, None)) if number else ""
        after = _words(texts[number + 1][:room], slice(-1)) if number + 1 < len(texts) else ""
    told = (document.title, span.heading, document.header, before, texts[number], after)
    return with_parts("\n".join(part for part in told if part))


def _words(cut: str, whole: slice) -> str:
    """The words of a cut that are `whole`; all of it where no spaces part them."""
    words = cut.split()
    return " ".join(words[whole] if len(words) > 1 else words)


def _lead(title: str, heading: str, text: str) -> str:
    first = " ".join(text[: _LEAD_WORDS * 20].split()[:_LEAD_WORDS])
    return with_parts(" ".join(part for part in (title, heading, first) if part))


def _cut(document: Document, chunking: Chunking) -> Iterator[Span]:
    room = chunking.words * _WORD_CHARACTERS
    if document.records:
        yield from _packed(document.text, [*document.records, len(document.text)], "", room)
        return
    headings = document.headings
    if chunking.strategy == "clauses":
        headings = _with_clauses(document)
    for start, end, heading in _sections(document, headings):
        if document.kind == "code":
            yield from _packed(document.text, _at_lines(document.text, start, end, room), heading, room)
        else:
            yield from _packed(document.text, _at_paragraphs(document.text, start, end, room), heading, room)


def _with_clauses(document: Document) -> tuple[Heading, ...]:
    """The headings, and articles and numbered clauses below them."""
    deepest = max((heading.level for heading in document.headings), default=0)
    clauses = [
        Heading(found.start(), deepest + 1 + found[1].rstrip(".").count("."), " ".join(found[0].split())[:80])
        for found in _CLAUSE.finditer(document.text)
    ]
    taken = {heading.start for heading in document.headings}
    both = [*document.headings, *(clause for clause in clauses if clause.start not in taken)]
    return tuple(sorted(both, key=lambda heading: heading.start))


def _sections(document: Document, headings: Sequence[Heading]) -> Iterator[tuple[int, int, str]]:
    """The stretches between headings, with the path of headings above each. A heading alone goes with what follows."""
    path: list[Heading] = []
    start = body = 0
    for heading in headings:
        if document.text[body : heading.start].strip():
            yield start, heading.start, " > ".join(one.text for one in path)
            start = heading.start
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        body = _body(document, heading)
    yield start, len(document.text), " > ".join(one.text for one in path)


def _body(document: Document, heading: Heading) -> int:
    """Where what stands under a heading begins: behind its line, but for lines that are text themselves."""
    end = document.text.find("\n", heading.start)
    end = len(document.text) if end < 0 else end
    if document.kind == "code":
        is_heading = document.text[heading.start : end].rstrip().endswith((":", "{"))
    else:
        is_heading = not _CLAUSE.match(document.text, heading.start)
    return end if is_heading else heading.start


def _at_paragraphs(text: str, start: int, end: int, room: int) -> list[int]:
    """Where paragraphs begin, and where those that are too long may be cut; the last place is `end`."""
    places = [start, *(found.end() for found in _PARAGRAPHS.finditer(text, start, end)), end]
    return _fine(text, places, room)


def _at_lines(text: str, start: int, end: int, room: int) -> list[int]:
    """Where code may be cut: at blank lines, and at any line of a block that is too long."""
    places = [start]
    for found in re.finditer(r"\n", text[start:end]):
        place = start + found.end()
        is_blank = text[place : place + 1] in ("\n", "\r")
        if is_blank or place - places[-1] > room // 2:
            places.append(place)
    return _fine(text, [*places, end], room)


def _fine(text: str, places: Sequence[int], room: int) -> list[int]:
    fine = [places[0]]
    for end in places[1:]:
        start = fine[-1]
        while end - start > _LONGEST:
            fine += _sentences(text, start, start + _LONGEST, room)
            start = fine[-1]
        if end - start > room:
            fine += _sentences(text, start, end, room)
        elif end > start:
            fine.append(end)
    return fine


def _sentences(text: str, start: int, end: int, room: int) -> list[int]:
    """The ends of the pieces of one long paragraph."""
    _, offsets = cast(
        "tuple[list[str], list[tuple[int, int]]]",
        _semchunk.chunk(text[start:end], room, len, offsets=True, memoize=False),
    )
    ends = [start + one[0] for one in offsets[1:]]
    return [*(place for place in ends if place > start), end]


def _packed(text: str, places: Sequence[int], heading: str, room: int) -> Iterator[Span]:
    """Neighbouring stretches together, as many as there is room for; without the space around them."""
    start = places[0]
    for number in range(1, len(places)):
        is_last = number + 1 == len(places)
        if is_last or places[number + 1] - start > room:
            span = _stripped(text, start, places[number], heading)
            if span is not None:
                yield span
            start = places[number]


def _stripped(text: str, start: int, end: int, heading: str) -> Span | None:
    told = text[start:end]
    bare = told.strip()
    if not bare:
        return None
    first = start + told.index(bare[0]) if told[0].isspace() else start
    return Span(first, first + len(bare), heading)
