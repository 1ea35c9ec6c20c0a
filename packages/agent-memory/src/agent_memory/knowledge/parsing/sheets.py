"""Excel workbooks as Markdown tables, one a sheet. For a worker: the files may be hostile.

openpyxl alone: markitdown reads them by way of pandas, which every process that imports pyarrow then has in memory (55 MB),
and tells an empty cell as `NaN`.
"""

import io
from collections.abc import Iterable
from datetime import datetime, time

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document
from agent_memory.knowledge.parsing.libraries import library
from agent_memory.knowledge.parsing.plain import from_markdown


def workbook(content: bytes, source: str) -> Document:
    """The sheets of a workbook, each under its name, with the values that formulas had when it was saved.

    Raises:
        ParseError: it is damaged or empty, or the extra is not installed.
    """
    openpyxl = library("openpyxl", source)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = [(str(sheet.title), _table(sheet.iter_rows(values_only=True))) for sheet in book.worksheets]
        title = str(book.properties.title or "")
    except Exception as error:  # noqa: BLE001  # zip, XML and values each have errors of their own, and none is our caller's fault
        raise ParseError(
            source, f"the workbook cannot be read: {(str(error) or type(error).__name__)[:200]}"
        ) from None
    text = "\n\n".join(f"## {name}\n\n{table}" for name, table in sheets if table)
    if not text:
        raise ParseError(source, "the workbook holds no values")
    read = from_markdown(text, kind="office", title=title)
    return Document(text=text, kind="office", title=read.title, headings=read.headings)


def _table(rows: Iterable[tuple[object, ...]]) -> str:
    """Rows that hold something, the first as the head; columns that are empty to the right of all values are left out."""
    told = [[_cell(value) for value in row] for row in rows]
    told = [row for row in told if any(row)]
    width = max((number for row in told for number, cell in enumerate(row, 1) if cell), default=0)
    lines = [f"| {' | '.join((row + [''] * width)[:width])} |" for row in told]
    if lines:
        lines.insert(1, f"|{' --- |' * width}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()  # a day has no hour there, and is read with one
    return " ".join(str(value).split()).replace("|", "\\|")
