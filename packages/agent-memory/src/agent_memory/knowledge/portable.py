"""A domain as a file that anything reads, and back: its rows with their vectors, some thousand at a time.

All rows are of one version. In JSON Lines a vector is base64 of float32, little-endian: bit for bit what it was.
"""

import asyncio
import base64
import binascii
import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec
import numpy as np

from agent_core.errors import KnowledgeUnavailableError
from agent_memory.errors import ImportFormatError, UnknownDomainError
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.rows import FORMAT, ArrowSchema, pa, schema
from agent_memory.knowledge.tables import LanceTables
from agent_memory.knowledge.versions import listed, marked
from agent_memory.manifest import ExportedDomain, Manifest
from agent_memory.table_files import ROWS_AT_ONCE, Format, parquet_batches, parquet_writer, read, write_lines

_KEEP = timedelta(hours=1)


async def export_domains(
    tables: LanceTables, domains: Mapping[str, Domain], folder: Path, form: Format
) -> tuple[ExportedDomain, ...]:
    """Write every domain that has rows into a folder, which is made if it is missing (mode 0700).

    Raises:
        UnknownDomainError: there is a table of a domain that is not among `domains`.
        KnowledgeUnavailableError: the storage failed.
        OSError: a file cannot be written.
    """
    await anyio.Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    found: list[ExportedDomain] = []
    for name in await tables.names():
        table = await tables.open(name)
        try:
            if await table.count():
                if name not in domains:
                    raise UnknownDomainError(name, domains)
                found.append(await exported(table, domains[name], folder, form))
        finally:
            table.close()
    return tuple(found)


async def restore_domains(
    tables: LanceTables, domains: Mapping[str, Domain], folder: Path, manifest: Manifest
) -> int:
    """Make every domain of an export; returns how many rows. All of them or none.

    Raises:
        ImportFormatError: it cannot be imported here; the message says why.
        KnowledgeUnavailableError: the storage failed.
    """
    unknown = [one.domain.name for one in manifest.knowledge if one.domain.name not in domains]
    if unknown:
        raise ImportFormatError(
            str(folder),
            f"there is no domain {unknown[0]!r} here; give its settings, which its manifest has, as `domains`",
        )
    made: list[str] = []
    count = 0
    try:
        for one in manifest.knowledge:
            name = one.domain.name
            count += await restored(tables, one, domains[name], folder / f"{one.file}.{manifest.format}")
            made.append(name)
    except BaseException:
        for name in made:
            await tables.drop(name)
        raise
    return count


async def exported(table: LanceTable, domain: Domain, folder: Path, form: Format) -> ExportedDomain:
    """Write one version of a domain into a folder that is there.

    Raises:
        KnowledgeUnavailableError: the storage failed.
        OSError: the file cannot be written.
    """
    recorded, versions, count = table.recorded, await listed(table), 0
    told = ExportedDomain(
        domain=domain,
        embedder=recorded["embedder"],
        dimensions=int(recorded["dimensions"]),
        format=recorded["format"],
        rows=0,
        version=versions[-1].name if versions else "",
        version_made_at=versions[-1].made_at if versions else 0.0,
    )
    path = folder / f"{told.file}.{form}"
    if form == "parquet":
        with await asyncio.to_thread(parquet_writer, path, table.layout) as file:
            async for batch in table.batches(ROWS_AT_ONCE):
                await asyncio.to_thread(file.write_batch, _cast(batch, table.layout))
                count += batch.num_rows
    else:
        await asyncio.to_thread(path.write_bytes, b"")
        async for batch in table.batches(ROWS_AT_ONCE):
            count += await asyncio.to_thread(write_lines, _told(batch), path, append=True)
    return msgspec.structs.replace(told, rows=count)


async def restored(tables: LanceTables, told: ExportedDomain, domain: Domain, path: Path) -> int:
    """Make a domain of its file, in one commit; returns how many rows. All or nothing.

    Raises:
        ImportFormatError: the file is damaged, of other fields than `domain`, or there is something already.
        KnowledgeUnavailableError: the storage failed.
    """
    layout = schema(domain, dimensions=told.dimensions, embedder=told.embedder)
    if told.format != FORMAT:
        raise ImportFormatError(str(path), f"its rows are of form {told.format}, and not of {FORMAT}")
    if domain.name in await tables.names():
        table = await tables.open(domain.name)
        count = await table.count()
        table.close()
        if count:
            raise ImportFormatError(str(path), f"there are {count} passages in {domain.name!r} already")
        await tables.drop(domain.name)
    table = await tables.create(domain, dimensions=told.dimensions, embedder=told.embedder)
    try:
        await _fill(table, layout, path, told.rows)
        await table.index_vectors(told.rows)
        await marked(table)
    except BaseException:
        table.close()
        await tables.drop(domain.name)
        raise
    table.close()
    return told.rows


async def _fill(table: LanceTable, layout: ArrowSchema, path: Path, rows: int) -> None:
    """Add all rows of a file; what is wrong with it is said as it is, not as LanceDB hands it on."""
    wrong: list[ImportFormatError] = []
    batches = _kept_errors(_batches(path, layout), wrong.append)
    try:
        await table.add(pa.RecordBatchReader.from_batches(layout, batches))
    except KnowledgeUnavailableError as error:
        if wrong:
            raise wrong[0] from error
        raise
    count = await table.count()
    if count != rows:
        raise ImportFormatError(str(path), f"it has {count} rows, and should have {rows}")
    await table.optimize(keep=_KEEP)


def _kept_errors(batches: Iterator[Any], keep: Callable[[ImportFormatError], None]) -> Iterator[Any]:
    try:
        yield from batches
    except ImportFormatError as error:
        keep(error)
        raise


def _batches(path: Path, layout: ArrowSchema) -> Iterator[Any]:
    """The rows of a file as Arrow batches, all of the one schema."""
    try:
        if path.suffix == ".parquet":
            for batch in parquet_batches(path):
                yield _cast(batch, layout)
            return
        rows = read(path)
        while part := list(itertools.islice(rows, ROWS_AT_ONCE)):
            yield pa.RecordBatch.from_pylist([_kept(row, layout, path) for row in part], layout)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ImportFormatError(str(path), f"a row does not fit: {error}") from error


def _cast(batch: Any, layout: ArrowSchema) -> Any:
    """The batch with the columns of `layout`, in their order."""
    if set(batch.schema.names) != set(layout.names):
        raise ValueError(f"it has the fields {sorted(batch.schema.names)}")
    return pa.RecordBatch.from_arrays(
        [batch.column(field.name).cast(field.type) for field in layout], schema=layout
    )


def _told(batch: Any) -> list[dict[str, Any]]:
    """Rows for JSON Lines."""
    place = batch.schema.get_field_index("vector")
    flat = batch.column(place).flatten().to_numpy(zero_copy_only=False)
    vectors = flat.astype("<f4", copy=False).reshape(batch.num_rows, -1)
    rows: list[dict[str, Any]] = batch.remove_column(place).to_pylist()
    return [{**row, "vector": vector.tobytes()} for row, vector in zip(rows, vectors, strict=True)]


def _kept(row: dict[str, Any], layout: ArrowSchema, path: Path) -> dict[str, Any]:
    """A row of JSON Lines as it was."""
    if row.keys() != set(layout.names):
        raise ImportFormatError(str(path), f"a row has the fields {sorted(row)}")
    try:
        vector = np.frombuffer(base64.b64decode(row["vector"], validate=True), "<f4")
    except (TypeError, ValueError, binascii.Error) as error:
        raise ImportFormatError(str(path), f"a vector is not base64 of float32: {error}") from error
    return {**row, "vector": vector}
