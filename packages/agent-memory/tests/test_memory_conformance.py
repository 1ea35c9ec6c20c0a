import contextlib
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from agent_core.testing.conformance.memory import MemoryConformance
from agent_memory import SessionMemory, SqliteJournal


class TestSessionMemory(MemoryConformance):
    @contextlib.asynccontextmanager
    async def memory(self) -> AsyncGenerator[SessionMemory]:
        with tempfile.TemporaryDirectory() as folder:
            async with await SqliteJournal.open(Path(folder, "runs.db")) as journal:
                yield SessionMemory(journal, model="test:model")
