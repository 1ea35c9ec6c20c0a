"""Everything of a tenant's memory as files that anything reads: JSON Lines or Parquet; and back again.

What is derived (terms, vectors) is left out and made again. A file `manifest.json` says what is there; a table is written
from one state of its database. An import goes into an empty memory only, so ids and sources stay what they were.
"""

import importlib
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from agent_memory import sqlite
from agent_memory.errors import ImportFormatError, MemoryUnavailableError
from agent_memory.long_term import episodes, facts
from agent_memory.long_term.analysis import Analyzer
from agent_memory.sqlite_store import SqliteStore

Format: TypeAlias = Literal["jsonl", "parquet"]

TABLES = {
    "memory": ("episodes", "facts", "outcomes", "entries"),
    "skills": ("tools", "served", "statistics", "lessons", "patterns", "learned"),
}
"""By database: the tables that are no index of others."""
VERSION = 1
_MANIFEST = "manifest.json"
_ROWS_AT_ONCE = 5_000
_ENDLESS = {"valid_from": -math.inf, "valid_to": math.inf, "retired_at": math.inf}
"""JSON knows no infinity: null stands for it in these columns."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds."""

    version: int = VERSION
    format: Format
    rows: dict[str, int]
    """By file, without its ending."""


def export_files(databases: Mapping[str, Path], folder: Path, form: Format) -> Manifest:
    """Write all tables of the databases, by kind, into a folder that is made if it is missing (mode 0700). Blocking.

    Raises:
        MemoryUnavailableError: a database cannot be read, or the folder not written.
    """
    counts: dict[str, int] = {}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for kind, path in databases.items():
            db = sqlite.connect(path, busy_timeout_s=5)
            try:
                with sqlite.snapshot(db):
                    for table in TABLES[kind]:
                        name = f"{kind}.{table}"
                        counts[name] = _write(_rows(db, table), folder / f"{name}.{form}", form)
            finally:
                db.close()
        manifest = Manifest(format=form, rows=counts)
        (folder / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailableError(str(folder), sqlite.reason(error)) from error
    return manifest


def manifest_of(folder: Path) -> Manifest:
    """What an export holds.

    Raises:
        ImportFormatError: there is none, it is of a newer version, or a file is missing.
    """
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ImportFormatError(str(folder), f"its {_MANIFEST} cannot be read: {error}") from error
    if manifest.version > VERSION:
        raise ImportFormatError(str(folder), f"it is of version {manifest.version}; upgrade agent-memory")
    missing = [name for name in manifest.rows if not (folder / f"{name}.{manifest.format}").is_file()]
    if missing:
        raise ImportFormatError(str(folder), f"files are missing: {', '.join(sorted(missing))}")
    return manifest


async def import_files(store: SqliteStore, kind: str, folder: Path, analyzer: Analyzer) -> int:
    """Read the tables of one kind into a store that holds nothing yet; returns how many rows. All or nothing.

    Raises:
        ImportFormatError: it is no export, or the store is not empty.
        MemoryUnavailableError: the store cannot be written.
    """
    manifest = manifest_of(folder)
    tables = [table for table in TABLES[kind] if f"{kind}.{table}" in manifest.rows]
    files = {table: folder / f"{kind}.{table}.{manifest.format}" for table in tables}
    return await store.change(_import, files, folder, analyzer if kind == "memory" else None)


def _import(
    db: sqlite3.Connection, files: Mapping[str, Path], folder: Path, analyzer: Analyzer | None
) -> int:
    """Fill the tables from their files; with an analyzer, index what they hold."""
    total = 0
    for table, path in files.items():
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        if count:
            raise ImportFormatError(str(folder), f"the memory to import into has {count} {table} already")
        total += _insert(db, table, _read(path), folder)
    if analyzer is not None:
        episodes.index_all(db, analyzer)
        facts.index_all(db, analyzer)
    return total


def _types(db: sqlite3.Connection, table: str) -> dict[str, str]:
    return {name: kind for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})")}


def _rows(db: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    """The rows as objects; blobs, which are JSON everywhere, as their text."""
    types = _types(db, table)
    for row in db.execute(f"SELECT {', '.join(types)} FROM {table} ORDER BY 1"):  # noqa: S608
        yield {
            name: value.decode() if types[name] == "BLOB" else value
            for name, value in zip(types, row, strict=True)
        }


def _insert(db: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]], folder: Path) -> int:
    types = _types(db, table)
    statement = f"INSERT INTO {table} ({', '.join(types)}) VALUES ({', '.join('?' * len(types))})"  # noqa: S608
    count = 0
    for row in rows:
        if row.keys() != types.keys():
            raise ImportFormatError(str(folder), f"a row of {table} has the fields {sorted(row)}")
        values = [
            _ENDLESS[name] if value is None and name in _ENDLESS else value for name, value in row.items()
        ]
        stored = [
            value.encode() if types[name] == "BLOB" and isinstance(value, str) else value
            for name, value in zip(row, values, strict=True)
        ]
        try:
            db.execute(statement, stored)
        except sqlite3.IntegrityError as error:
            raise ImportFormatError(str(folder), f"a row of {table} does not fit: {error}") from error
        count += 1
    return count


def _write(rows: Iterator[dict[str, Any]], path: Path, form: Format) -> int:
    if form == "parquet":
        return _write_parquet(list(rows), path)
    count = 0
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for row in rows:
            file.write(encoder.encode(row) + b"\n")
            count += 1
    return count


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    decoder = msgspec.json.Decoder(dict[str, Any])
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ImportFormatError(str(path), f"line {number}: {error}") from error


def _parquet() -> tuple[Any, Any]:
    """Pyarrow and its Parquet module: without types, and heavy, so imported when asked for."""
    return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> int:
    arrow, parquet = _parquet()
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    return len(rows)


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    arrow, parquet = _parquet()
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except arrow.ArrowException as error:
        raise ImportFormatError(str(path), f"it is no Parquet file: {error}") from error
