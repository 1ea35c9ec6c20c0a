import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from agent_core.testing.conformance.journal import JournalConformance
from agent_core.testing.conformance.snapshots import SnapshotsConformance
from agent_memory import SqliteJournal


class TestSqliteJournal(JournalConformance, SnapshotsConformance):
    @contextlib.asynccontextmanager
    async def journal(self) -> AsyncGenerator[SqliteJournal]:
        with tempfile.TemporaryDirectory() as folder:
            async with await SqliteJournal.open(Path(folder, "runs.db")) as journal:
                yield journal

    snapshots = journal
