"""Files as text, with what stands where."""

import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import suffix_of
from agent_memory.knowledge.parsing import plain, reading


def headings(document):
    return [(one.level, one.text) for one in document.headings]


MARKDOWN = """---
title: The Pump
date: 2026-01-02
---
# Setup

Text.

Below
-----

```
# no heading
```

## Parts ##
"""


def test_markdown_has_headings_and_front_matter():
    found = plain.markdown(MARKDOWN.encode(), "a.md")
    assert headings(found) == [(1, "Setup"), (2, "Below"), (2, "Parts")]
    assert all(found.text[one.start :].lstrip("# ").startswith(one.text) for one in found.headings)
    assert (found.title, found.metadata["date"]) == ("The Pump", "2026-01-02")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"plain", "plain"),
        ("naïve".encode(), "naïve"),
        ("naïve".encode("cp1252"), "naïve"),
        ("\ufeffnaïve".encode("utf-16"), "naïve"),
        ("naive words".encode("utf-16-le"), "naive words"),
        ("naive words".encode("utf-16-be"), "naive words"),
        (b"\xef\xbb\xbfmarked", "marked"),
    ],
)
def test_an_encoding_is_found(content, text):
    assert plain.decoded(content, "a").lstrip("\ufeff") == text


@pytest.mark.parametrize("content", [bytes(range(256)) * 8, b"\x00\x01\x02\x03" * 99])
def test_what_is_binary_is_said_to_be(content):
    with pytest.raises(ParseError, match="binary"):
        plain.text(content, "a.txt")


def records(document):
    ends = [*document.records[1:], len(document.text)][: len(document.records)]
    return [document.text[start:end].strip() for start, end in zip(document.records, ends, strict=True)]


def test_a_table_is_its_rows():
    found = plain.table(b'name,note\na,"two\nlines"\nb,one\n', "a.csv")
    assert found.header == "name,note"
    assert records(found) == ['a,"two\nlines"', "b,one"]


@pytest.mark.parametrize(
    ("content", "members"),
    [
        (b'[{"a": 1}, [2, 3], "x, y", 4]', ['{"a": 1},', "[2, 3],", '"x, y",', "4]"]),
        (b'{"a": {"b": [1, 2]}, "c": 2}', ['"a": {"b": [1, 2]},', '"c": 2}']),
        (b"[]", []),
        (b"3", []),
    ],
)
def test_json_is_its_members(content, members):
    assert records(plain.json_text(content, "a.json")) == members


@pytest.mark.parametrize("content", [b"[1,", b"[" * 100_000, b"", b"{'a': 1}"])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(ParseError, match="no JSON"):
        plain.json_text(content, "a.json")


@given(st.binary(max_size=300), st.sampled_from(["a.md", "a.txt", "a.csv", "a.json", "a.jsonl", "a"]))
def test_any_bytes_are_a_document_or_refused(content, name):
    try:
        found = reading(name).parser(content, name)
    except ParseError:
        return
    places = [*found.records, *(one.start for one in found.headings)]
    assert all(0 <= place <= len(found.text) for place in places)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a/b.PDF", ".pdf"),
        ("a.b/c", ""),
        ("a.tar.gz", ".gz"),
        ("https://example.org", ".html"),
        ("https://example.org/a?b=c.pdf", ".html"),
        ("https://example.org/a.pdf?x=1", ".pdf"),
    ],
)
def test_the_end_of_a_name(name, suffix):
    assert suffix_of(name) == suffix


def test_pages_of_a_pdf_are_counted_from_one(hostile):
    pytest.importorskip("pypdfium2", reason="the extra [documents] is not installed")
    from agent_memory.knowledge.parsing import rich

    found = rich.pdf(hostile.pdf(["First page", "Second page"], title="Manual"), "a.pdf")
    assert found.title == "Manual"
    assert found.page_at(found.text.index("First")) == 1
    assert found.page_at(found.text.index("Second")) == 2


def test_a_page_of_the_web_is_its_article():
    pytest.importorskip("trafilatura", reason="the extra [documents] is not installed")
    from agent_memory.knowledge.parsing import rich

    page = (
        b"""<html><head><title>Boats</title></head><body><nav><a href="/">Home</a></nav><article><h1>Sailing</h1>
    <p>A boat needs wind. It has a sail and a rudder, and a crew that knows what both are for.</p>
    <p>"""
        + b"The harbour is a day away, and the crew sleeps in turns. " * 12
        + b"""</p></article></body>"""
    )
    found = rich.html(page, "a.html")
    assert found.title == "Boats"
    assert "rudder" in found.text
    assert "Home" not in found.text


def test_office_documents_are_text(hostile):
    pytest.importorskip("markitdown", reason="the extra [documents] is not installed")
    from agent_memory.knowledge.parsing import rich

    assert "a second one" in rich.office(hostile.docx("A paragraph.\n\nAnd a second one."), "a.docx").text


def workbook(*sheets):
    book = pytest.importorskip("openpyxl", reason="the extra [documents] is not installed").Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def test_the_sheets_of_a_workbook_are_tables_under_their_names():
    prices = [
        ("part", "price", None),
        ("valve | red", 12.5, None),
        (None, None, None),
        ("rotor\nbig", True, None),
    ]
    content = workbook(
        ("Prices", prices), ("Nothing", []), ("Days", [("day", None), (date(2026, 1, 2), "=1+1")])
    )
    found = reading("a.xlsx").parser(content, "a.xlsx")
    assert found.text == (
        "## Prices\n\n| part | price |\n| --- | --- |\n| valve \\| red | 12.5 |\n| rotor big | True |\n\n"
        "## Days\n\n| day |\n| --- |\n| 2026-01-02 |"
    )
    assert headings(found) == [(2, "Prices"), (2, "Days")]
    assert found.kind == "office"


def test_a_workbook_without_values_and_one_that_is_broken_say_so():
    empty = workbook(("One", []))
    parser = reading("a.xlsx").parser
    with pytest.raises(ParseError, match="no values"):
        parser(empty, "a.xlsx")
    with pytest.raises(ParseError, match="cannot be read"):
        parser(empty[: len(empty) // 2], "a.xlsx")


def test_code_is_its_symbols():
    pytest.importorskip("tree_sitter", reason="the extra [code] is not installed")
    from agent_memory.knowledge.parsing import code

    text = "import os\n\n\nclass Pump:\n    def start(self):\n        pass  # ümlaut\n\n\n@cached\ndef stop():\n    pass\n"
    found = code.code(text.encode(), "src/pump.py")
    assert headings(found) == [(1, "Pump"), (2, "start"), (1, "stop")]
    assert [found.text[one.start :][:7] for one in found.headings] == ["class P", "def sta", "@cached"]
    assert found.metadata == {"language": "python", "test": False}


@pytest.mark.parametrize(
    ("name", "text", "symbols"),
    [
        ("a.go", "package a\n\nfunc Start() {}\n", ["Start"]),
        ("a.rs", "struct Pump;\nimpl Pump { fn start() {} }\n", ["Pump", "Pump", "start"]),
        ("a.java", "class Pump { void start() {} }\n", ["Pump", "start"]),
        ("a.ts", "interface A { x: number }\nfunction b() {}\n", ["A", "b"]),
        ("a.js", "function a() {}\nclass B { c() {} }\n", ["a", "B", "c"]),
        ("a.c", "int start(int x) { return x; }\n", ["start"]),
        ("a.cpp", "namespace n { class P { }; }\n", ["n", "P"]),
        ("a.lua", "function start() end\n", []),
    ],
)
def test_languages(name, text, symbols):
    pytest.importorskip("tree_sitter", reason="the extra [code] is not installed")
    from agent_memory.knowledge.parsing import code

    if symbols:
        module, _, _ = code._GRAMMARS[code.SUFFIXES[suffix_of(name)]]
        pytest.importorskip(module, reason="the grammar is not installed")
    assert [one.text for one in code.code(text.encode(), name).headings] == symbols
