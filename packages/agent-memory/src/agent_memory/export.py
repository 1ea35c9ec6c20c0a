"""Everything of a tenant's memory as files that anything reads: JSON Lines or Parquet; and back again.

What is derived (terms, the vectors of episodes) is left out and made again; passages of knowledge bases keep their
vectors, for their files may be gone. A file `manifest.json` says what is there; a table is written from one state of its
database. An import goes into an empty memory only, so ids and sources stay what they were.
"""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent_memory import sqlite, table_files
from agent_memory.errors import ImportFormatError, MemoryUnavailableError
from agent_memory.long_term.analysis import Analyzer
from agent_memory.long_term.indexing import index_anew
from agent_memory.manifest import ExportedDomain, Manifest, manifest_of, with_knowledge, write_manifest
from agent_memory.sqlite_store import SqliteStore
from agent_memory.table_files import Format

TABLES = {
    "memory": ("episodes", "facts", "outcomes", "entries"),
    "skills": ("tools", "served", "statistics", "lessons", "patterns", "learned"),
}
"""By database: the tables that are no index of others."""
_ENDLESS = {"valid_from": -math.inf, "valid_to": math.inf, "retired_at": math.inf}
"""JSON knows no infinity: null stands for it in these columns."""


def export_files(
    databases: Mapping[str, Path], folder: Path, form: Format, knowledge: tuple[ExportedDomain, ...] = ()
) -> Manifest:
    """Write all tables of the databases, by kind, into a folder that is made if it is missing (mode 0700), and what is
    there: these and `knowledge`, whose files were written before. Blocking.

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
                        counts[name] = table_files.write(
                            _rows(db, table), folder / f"{name}.{form}", form, _types(db, table)
                        )
            finally:
                db.close()
        manifest = with_knowledge(form, counts, knowledge)
        write_manifest(folder, manifest)
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailableError(str(folder), sqlite.reason(error)) from error
    return manifest


async def import_files(store: SqliteStore, kind: str, folder: Path, analyzer: Analyzer) -> int:
    """Read the tables of one kind into a store that holds nothing yet; returns how many rows. All or nothing.

    Raises:
        ImportFormatError: it is no export, or the store is not empty.
        MemoryUnavailableError: the store cannot be written.
    """
    manifest = manifest_of(folder)
    tables = [table for table in TABLES[kind] if f"{kind}.{table}" in manifest.rows]
    files = {
        table: (folder / f"{kind}.{table}.{manifest.format}", manifest.rows[f"{kind}.{table}"])
        for table in tables
    }
    if not files:
        return 0
    return await store.change(_import, kind, files, folder, analyzer if kind == "memory" else None)


def _import(
    db: sqlite3.Connection,
    kind: str,
    files: Mapping[str, tuple[Path, int]],
    folder: Path,
    analyzer: Analyzer | None,
) -> int:
    """Fill the tables from their files, each with the rows that it should have; with an analyzer, index what they hold."""
    for table in TABLES[kind]:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        if count:
            raise ImportFormatError(str(folder), f"the memory to import into has {count} {table} already")
    total = 0
    for table, (path, rows) in files.items():
        inserted = _insert(db, table, table_files.read(path), folder)
        if inserted != rows:
            raise ImportFormatError(str(path), f"it has {inserted} rows, and should have {rows}")
        total += inserted
    if analyzer is not None:
        index_anew(db, analyzer)
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
