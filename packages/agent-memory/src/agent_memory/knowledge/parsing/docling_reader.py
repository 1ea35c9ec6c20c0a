"""Documents by docling (extra `[docling]`): layout, order of reading, tables, and pages that are pictures. For a worker.

It reads better than the libraries of `[documents]`, takes seconds a page, and needs models, of which none is fetched
here: they lie in the folder that `DOCLING_ARTIFACTS_PATH` names, where `docling-tools models download` put them.
Word, PowerPoint, Excel and HTML need none. API of docling 2.143 (https://docling-project.github.io/docling, read 2026-11).
"""

import functools
import importlib
import importlib.util
import io
import os
from typing import Any

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document, Kind, suffix_of
from agent_memory.knowledge.parsing.libraries import library
from agent_memory.knowledge.parsing.plain import from_markdown

_OFFICE = frozenset({".docx", ".pptx", ".xlsx"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
SUFFIXES = frozenset({".pdf", *_OFFICE, *_PICTURES})
"""What it reads better than anything else here, or alone."""
TIMEOUT_S = 900.0
MEMORY_BYTES = 24 << 30
"""Address space: torch maps far more than it uses."""
_MAX_PAGES = 5_000
_MODELS = (
    "docling's models are not on this machine, and are not fetched while files are read; fetch them once by "
    "`docling-tools models download -o FOLDER`, and set DOCLING_ARTIFACTS_PATH to that folder"
)

_SIGNS = (
    "LocalEntryNotFound",
    "OfflineModeIsEnabled",
    "HF_HUB_OFFLINE",
    "artifacts",  # the folder is not there
    "Missing safe tensors file",  # or is not whole: docling_ibm_models' layout_predictor.py
    "Missing model config file",
    "Missing processor config file",
)
"""What stands in the error where a model is not at hand."""


def document(content: bytes, source: str) -> Document:
    """The text as Markdown, page by page where there are pages.

    Raises:
        ParseError: it is damaged or holds no text, the extra is not installed, or its models are missing.
    """
    library("docling", source, "docling")
    suffix = suffix_of(source)
    try:
        done: Any = _converter().convert(_stream(f"document{suffix}", content), max_num_pages=_MAX_PAGES)
        told = _pages(done.document)
    except Exception as error:  # noqa: BLE001  # each format and each model has errors of its own
        raise ParseError(source, _reason(error)) from None
    text = "".join(told)
    if not text.strip():
        raise ParseError(source, "docling finds no text in it")
    kind: Kind = "office" if suffix in _OFFICE else "picture" if suffix in _PICTURES else "pdf"
    starts = [0]
    for page in told[:-1]:
        starts.append(starts[-1] + len(page))
    read = from_markdown(text, kind=kind)
    pages = tuple(starts) if done.document.pages else ()
    return Document(text=text, kind=kind, title=read.title, headings=read.headings, pages=pages)


def is_installed() -> bool:
    """Whether the extra is there; nothing is imported."""
    return importlib.util.find_spec("docling") is not None


def _pages(found: Any) -> list[str]:
    """The text of every page from the first, or of all where there are none."""
    if not found.pages:
        return [str(found.export_to_markdown())]
    return [
        str(found.export_to_markdown(page_no=number)) + "\n\n" for number in range(1, max(found.pages) + 1)
    ]


@functools.cache
def _converter() -> Any:
    """Made once a process: its models are loaded with the first file that needs them."""
    # Who reads files must not call home.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return importlib.import_module("docling.document_converter").DocumentConverter()


def _stream(name: str, content: bytes) -> Any:
    return importlib.import_module("docling.datamodel.base_models").DocumentStream(
        name=name, stream=io.BytesIO(content)
    )


def _reason(error: Exception) -> str:
    told = f"{type(error).__name__}: {error}"
    # A pipeline that fails says so, and what it failed by behind it.
    behind = error.__cause__
    while behind is not None:
        told += f"; {type(behind).__name__}: {behind}"
        behind = behind.__cause__
    if any(sign in told for sign in _SIGNS):
        return _MODELS
    return f"docling cannot read it: {told.splitlines()[0][:200]}"
