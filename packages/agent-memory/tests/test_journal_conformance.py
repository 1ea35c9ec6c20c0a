import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from agent_core.testing.conformance.journal import JournalConformance
from agent_memory import SqliteJournal


class TestSqliteJournal(JournalConformance):
    @contextlib.asynccontextmanager
    async def journal(self) -> AsyncGenerator[SqliteJournal]:
        with tempfile.TemporaryDirectory() as folder:
            async with await SqliteJournal.open(Path(folder, "runs.db")) as journal:
                yield journal
