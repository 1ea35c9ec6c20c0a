"""HTML, PDF and office documents, by libraries of the extra `[documents]`. For a worker: the files may be hostile.

trafilatura takes the article out of a page; pypdfium2 is Chromium's reader; markitdown turns Word and
PowerPoint to Markdown.
PyMuPDF is faster, and its licence (AGPL) would be ours.
"""

import io
import re

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document, suffix_of
from agent_memory.knowledge.parsing.libraries import library
from agent_memory.knowledge.parsing.plain import decoded, from_markdown

_SLIDE = re.compile(r"^<!-- Slide number: \d+ -->", re.MULTILINE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_MAX_PAGES = 5_000


def html(content: bytes, source: str) -> Document:
    """The article of a page, without menus and advertisements.

    Raises:
        ParseError: there is no article, or the extra is not installed.
    """
    trafilatura = library("trafilatura", source)
    page = decoded(content, source)
    found: str | None = trafilatura.extract(
        page, output_format="markdown", include_tables=True, include_comments=False, favor_recall=True
    )
    if not found:
        found = trafilatura.html2txt(page)
    if not found or not found.strip():
        raise ParseError(source, "the page holds no text")
    title = _TITLE.search(page)
    return from_markdown(found, kind="html", title=" ".join(title[1].split()) if title else "")


def pdf(content: bytes, source: str) -> Document:
    """The text of every page.

    Raises:
        ParseError: it is damaged, locked by a password, holds no text, or the extra is not installed.
    """
    pdfium = library("pypdfium2", source)
    try:
        opened = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as error:
        raise ParseError(source, f"the PDF cannot be opened: {error}") from None
    try:
        told, starts, place = list[str](), list[int](), 0
        for number in range(min(len(opened), _MAX_PAGES)):
            words = opened[number].get_textpage().get_text_bounded().replace("\r\n", "\n").strip() + "\n\n"
            starts.append(place)
            told.append(words)
            place += len(words)
        title = str(opened.get_metadata_dict().get("Title", "") or "")
    except pdfium.PdfiumError as error:
        raise ParseError(source, f"a page of the PDF cannot be read: {error}") from None
    finally:
        opened.close()
    text = "".join(told)
    if not text.strip():
        raise ParseError(
            source, "the PDF holds no text: its pages are pictures, and there is no reader of pictures here"
        )
    return Document(text=text, kind="pdf", title=title.strip(), pages=tuple(starts))


def office(content: bytes, source: str) -> Document:
    """Word and PowerPoint; the slides of a presentation are its pages.

    Raises:
        ParseError: it is damaged or empty, or the extra is not installed.
    """
    markitdown = library("markitdown", source)
    try:
        found = markitdown.MarkItDown(enable_plugins=False).convert_stream(
            io.BytesIO(content), stream_info=markitdown.StreamInfo(extension=suffix_of(source))
        )
    except Exception as error:  # noqa: BLE001  # each format has errors of its own, and none is our caller's fault
        raise ParseError(source, f"the document cannot be read: {str(error).splitlines()[0][:200]}") from None
    text = str(found.markdown)
    if not text.strip():
        raise ParseError(source, "the document holds no text")
    read = from_markdown(text, kind="office", title=str(found.title or ""))
    slides = tuple(mark.start() for mark in _SLIDE.finditer(text))
    return Document(text=text, kind="office", title=read.title, headings=read.headings, pages=slides)
