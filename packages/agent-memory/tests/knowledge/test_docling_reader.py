"""Documents read by docling: what needs none of its models, and what is said where they are missing."""

import importlib.util
import io

import pytest

from agent_core.errors import ConfigurationError
from agent_memory import LanceKnowledgeBase
from agent_memory.errors import ParseError
from agent_memory.knowledge.parsing import check_reader, docling_reader, reading
from agent_memory.knowledge.worker import worker_of

INSTALLED = importlib.util.find_spec("docling") is not None
needs_docling = pytest.mark.skipif(
    not INSTALLED, reason="needs the extra: pip install 'agent-memory[docling]'"
)


def word():
    from docx import Document

    made, told = Document(), io.BytesIO()
    made.add_heading("Leave", 1)
    made.add_paragraph("A new colleague has 30 days.")
    table = made.add_table(2, 2)
    for place, text in enumerate(("country", "days", "Portugal", "22")):
        table.cell(place // 2, place % 2).text = text
    made.save(told)
    return told.getvalue()


def slides():
    from pptx import Presentation

    made, told = Presentation(), io.BytesIO()
    for number in (1, 2):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = f"Part {number}"
        slide.placeholders[1].text = f"What is told on slide {number}."
    made.save(told)
    return told.getvalue()


@pytest.mark.parametrize(
    ("name", "by_docling"),
    [
        ("a.pdf", True),
        ("A.DOCX", True),
        ("scan.png", True),
        ("a.md", False),
        ("a.py", False),
        ("a.html", False),
    ],
)
def test_docling_is_asked_for_what_it_reads_better(name, by_docling):
    assert (reading(name, "docling").parser is docling_reader.document) is by_docling
    assert reading(name).parser is not docling_reader.document


def test_a_reader_that_does_not_exist_is_named():
    with pytest.raises(ConfigurationError, match="no reader 'magic'; there are built-in, docling"):
        check_reader("magic")


@pytest.mark.skipif(INSTALLED, reason="docling is installed")
async def test_an_ingest_that_asks_for_docling_says_how_to_install_it(tmp_path):
    (tmp_path / "a.docx").write_bytes(b"x")
    async with await LanceKnowledgeBase.open(tmp_path / "kb", tenant="acme") as kb:
        with pytest.raises(ConfigurationError, match=r"pip install 'agent-memory\[docling\]'"):
            await kb.ingest(tmp_path / "a.docx", reader="docling")
        assert await kb.sources("general") == {}


@needs_docling
def test_a_word_document_has_its_headings_and_tables():
    found = docling_reader.document(word(), "leave.docx")
    assert [one.text for one in found.headings] == ["Leave"]
    assert "| Portugal" in found.text
    assert (found.kind, found.pages) == ("office", ())


@needs_docling
def test_the_slides_of_a_presentation_are_its_pages():
    found = docling_reader.document(slides(), "parts.pptx")
    assert len(found.pages) == 2
    assert found.page_at(found.text.index("slide 1")) == 1
    assert found.page_at(found.text.index("slide 2")) == 2


@needs_docling
@pytest.mark.parametrize("name", ["noise.docx", "noise.pdf", "noise.png"])
def test_a_damaged_file_is_refused_with_a_reason(name):
    with pytest.raises(ParseError, match="docling cannot read it"):
        docling_reader.document(b"noise", name)


@needs_docling
async def test_a_pdf_without_the_models_says_where_to_get_them(hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("DOCLING_ARTIFACTS_PATH", raising=False)
    worker = worker_of("docling")
    try:
        with pytest.raises(
            ParseError, match=r"docling-tools models download -o FOLDER.*DOCLING_ARTIFACTS_PATH"
        ):
            await worker.parse("a.pdf", hostile.pdf(["some words"]))
    finally:
        await worker.aclose()


@pytest.mark.parametrize(
    "told",
    [
        "The value of artifacts_path=PosixPath('/nowhere') is not valid.\nIt must point to a folder",
        "Missing safe tensors file: /models/docling-project--docling-layout-heron/model.safetensors",
        "Missing model config file: /models/docling-project--docling-layout-heron/config.json",
    ],
)
def test_models_that_are_not_whole_are_asked_for_in_one_line_however_docling_tells_it(told):
    wrapped = RuntimeError("Pipeline StandardPdfPipeline failed")
    wrapped.__cause__ = FileNotFoundError(told)
    for error in (FileNotFoundError(told), wrapped):
        reason = docling_reader._reason(error)
        assert "docling-tools models download -o FOLDER" in reason
        assert "\n" not in reason
    other = RuntimeError("Pipeline StandardPdfPipeline failed")
    other.__cause__ = ValueError("page 3 is torn")
    assert "page 3 is torn" in docling_reader._reason(other)


@needs_docling
async def test_another_reader_reads_again_what_it_is_for_and_nothing_else(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "leave.docx").write_bytes(word())
    (files / "note.md").write_text("A note.")
    async with await LanceKnowledgeBase.open(tmp_path / "kb", tenant="acme") as kb:
        await kb.ingest(files)
        report = await kb.ingest(files, reader="docling")
        read = (*report.changed, *report.added)  # added where the libraries of [documents] are not installed
        assert (read, report.unchanged, report.failed) == ((str(files / "leave.docx"),), 1, ())
        assert (await kb.ingest(files, reader="docling")).unchanged == 2
        assert (await kb.search("how many days in Portugal", k=1))[0].citation.heading == "Leave"
