"""Everything of a tenant that is kept beyond its runs, as files that anything reads, and back: memory and knowledge bases.

The bases are beside the memory here, and may lie in an object storage; in an export they are one folder with one manifest.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import msgspec

from agent_api.knowledge import KnowledgeBases
from agent_api.memory import has_memory, open_memory, restore_memory

if TYPE_CHECKING:
    from agent_memory.manifest import Manifest
    from agent_memory.table_files import Format


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What an import brought back."""

    passages: int
    """Of knowledge bases."""
    rows: int
    """Of the memory: what was said, facts, values, outcomes, and what was learned of skills."""


async def export_all(data_path: Path, bases: KnowledgeBases, folder: Path, form: "Format") -> "Manifest":
    """Write the memory and all knowledge bases into a folder, which is made if it is missing.

    Raises:
        ConfigurationError: the folder cannot be written.
        MemoryUnavailableError: the memory cannot be read.
        KnowledgeUnavailableError: the storage of the bases failed.
    """
    if not has_memory(data_path):
        return await bases.export(folder, form=form)
    told = await bases.export_bases(folder, form=form)
    async with open_memory(data_path) as memory:
        return await memory.export(folder, form=form, beside=told)


async def import_all(
    data_path: Path, bases: KnowledgeBases, folder: Path, on_part: Callable[[str, int], None]
) -> Restored:
    """Read an export into a tenant that remembers nothing yet and has no base of those names. All or nothing.

    `on_part` is told "knowledge" and "memory", each with how many rows, as they are done.

    Raises:
        ImportFormatError: it is no export, it is damaged, or there is something already.
        MemoryUnavailableError: the memory cannot be written.
        KnowledgeUnavailableError: the storage of the bases failed.
    """
    from agent_memory.manifest import manifest_of  # noqa: PLC0415  # numpy

    manifest = await anyio.to_thread.run_sync(manifest_of, folder)
    passages = rows = 0
    if manifest.knowledge:
        passages = await bases.restore(folder)
        on_part("knowledge", passages)
    if any(name.startswith(("memory.", "skills.")) for name in manifest.rows):
        try:
            rows = await restore_memory(data_path, folder)
        except BaseException:
            for one in manifest.knowledge:
                await bases.remove(one.domain.name)
            raise
        on_part("memory", rows)
    return Restored(passages=passages, rows=rows)
