"""Which parser reads a file, by the end of its name; what no parser knows is read as text if it is text."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, get_args

from agent_core.errors import ConfigurationError
from agent_memory.knowledge.documents import Document, suffix_of
from agent_memory.knowledge.parsing import code, docling_reader, plain, rich, sheets

Parser: TypeAlias = Callable[[bytes, str], Document]
Reader: TypeAlias = Literal["built-in", "docling"]
"""Who reads PDF, office files and pictures."""


class Reading(NamedTuple):
    """A parser, and whether it runs in a worker because a file can make it hang or crash."""

    parser: Parser
    in_worker: bool


_PLAIN: dict[str, Parser] = {
    ".md": plain.markdown,
    ".markdown": plain.markdown,
    ".csv": plain.table,
    ".tsv": plain.table,
    ".json": plain.json_text,
    ".jsonl": plain.lines_of_json,
    ".ndjson": plain.lines_of_json,
}
_RICH: dict[str, Parser] = {
    ".html": rich.html,
    ".htm": rich.html,
    ".xhtml": rich.html,
    ".pdf": rich.pdf,
    ".docx": rich.office,
    ".pptx": rich.office,
    ".xlsx": sheets.workbook,
    **dict.fromkeys(code.SUFFIXES, code.code),
}
_PICTURES = (
    ".png .jpg .jpeg .gif .bmp .ico .webp .mp3 .mp4 .wav .mov .avi .exe .so .dll .pyc .woff .woff2 .ttf .bin"
)
NOT_READ = frozenset(_PICTURES.split())
"""Pictures, sounds and programs hold no text."""


def reading(name: str, reader: Reader = "built-in") -> Reading:
    """The parser for a file of this name."""
    suffix = suffix_of(name)
    if is_for(name, reader):
        return Reading(docling_reader.document, in_worker=True)
    if suffix in _RICH:
        return Reading(_RICH[suffix], in_worker=True)
    return Reading(_PLAIN.get(suffix, plain.text), in_worker=False)


def is_for(name: str, reader: Reader) -> bool:
    """Whether a file of this name is read by docling."""
    return reader == "docling" and suffix_of(name) in docling_reader.SUFFIXES


def check_reader(reader: str) -> None:
    """That there is such a reader.

    Raises:
        ConfigurationError: there is none of that name, or its extra is not installed.
    """
    if reader not in get_args(Reader):
        raise ConfigurationError(f"there is no reader {reader!r}; there are {', '.join(get_args(Reader))}")
    if reader == "docling" and not docling_reader.is_installed():
        raise ConfigurationError("the reader 'docling' needs an extra: pip install 'agent-memory[docling]'")
