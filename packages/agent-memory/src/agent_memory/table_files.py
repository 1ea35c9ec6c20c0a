"""Rows as files that anything reads, JSON Lines or Parquet, some thousand at a time. Knows no storage."""

import importlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from agent_memory.errors import ImportFormatError

Format: TypeAlias = Literal["jsonl", "parquet"]
Row: TypeAlias = dict[str, Any]
ColumnTypes: TypeAlias = Mapping[str, str]
"""By column, as SQLite names them."""

ROWS_AT_ONCE = 4_096
"""More are never in memory."""
MAX_LINE_BYTES = 64 * 1024 * 1024
"""A row is one line, and a file may be a stranger's."""
_ARROW_NAMES = {"INTEGER": "int64", "REAL": "float64", "TEXT": "string", "BLOB": "string"}


def write(rows: Iterable[Row], path: Path, form: Format, columns: ColumnTypes) -> int:
    """Write a file; returns how many rows.

    Raises:
        OSError: it cannot be written.
    """
    return _write_parquet(rows, path, columns) if form == "parquet" else write_lines(rows, path)


def write_lines(rows: Iterable[Row], path: Path, *, append: bool = False) -> int:
    """Write JSON Lines, or more of them to a file that is there; bytes become base64. Returns how many."""
    count = 0
    encoder = msgspec.json.Encoder()
    with path.open("ab" if append else "wb") as file:
        for row in rows:
            file.write(encoder.encode(row) + b"\n")
            count += 1
    return count


def read(path: Path) -> Iterator[Row]:
    """The rows of a file that `write` wrote.

    Raises:
        ImportFormatError: it is damaged; the message says where.
    """
    if path.suffix == ".parquet":
        for batch in parquet_batches(path):
            yield from batch.to_pylist()
        return
    decoder = msgspec.json.Decoder(Row)
    with path.open("rb") as file:
        lines = iter(partial(file.readline, MAX_LINE_BYTES + 1), b"")
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_LINE_BYTES:
                raise ImportFormatError(str(path), f"line {number} has more than {MAX_LINE_BYTES} bytes")
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ImportFormatError(str(path), f"line {number}: {error}") from error


def parquet_batches(path: Path) -> Iterator[Any]:
    """The Arrow batches of a Parquet file.

    Raises:
        ImportFormatError: it is none, or damaged.
    """
    arrow, parquet = _parquet()
    try:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=ROWS_AT_ONCE)
    except (arrow.ArrowException, OSError) as error:
        raise ImportFormatError(str(path), f"it is no Parquet file: {error}") from error


def parquet_writer(path: Path, schema: Any) -> Any:
    """Pyarrow's writer of a file with this schema."""
    return _parquet()[1].ParquetWriter(path, schema)


def _parquet() -> tuple[Any, Any]:
    """Pyarrow and its Parquet module: without types, and heavy, so imported when asked for."""
    return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")


def _write_parquet(rows: Iterable[Row], path: Path, columns: ColumnTypes) -> int:
    arrow, _ = _parquet()
    schema = arrow.schema([(name, _ARROW_NAMES[kind]) for name, kind in columns.items()])
    count, left = 0, iter(rows)
    with parquet_writer(path, schema) as file:
        while part := list(itertools.islice(left, ROWS_AT_ONCE)):
            file.write_table(arrow.Table.from_pylist(part, schema))
            count += len(part)
    return count
