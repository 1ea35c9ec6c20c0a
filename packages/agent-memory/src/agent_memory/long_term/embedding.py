"""The vectors of a memory: made in the background after something was added, and asked for a question's neighbours."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence

from agent_core.embeddings import Embeddings
from agent_core.errors import ModelError
from agent_core.ports import Embedder
from agent_memory.errors import EmbedderMismatchError, MemoryUnavailableError
from agent_memory.long_term import entries, episodes
from agent_memory.long_term.likeness import Likeness
from agent_memory.sqlite_store import SqliteStore

_EMBEDDER = "embedder"
_AT_ONCE = 64


class EpisodeVectors:
    """Follows the episodes of one open store with one embedder, which the caller closes."""

    def __init__(self, store: SqliteStore, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder
        self._likeness = Likeness(embedder.dimensions)
        self._task: asyncio.Task[None] | None = None
        self._wanted = False

    @classmethod
    async def open(cls, store: SqliteStore, embedder: Embedder, *, again: bool) -> "EpisodeVectors":
        """Begin; `again`: throw away the vectors of another embedder.

        Raises:
            EmbedderMismatchError: the vectors that are there are of another embedder.
            MemoryUnavailableError: the file cannot be written.
        """
        await store.change(_match, str(store.path), embedder, again=again)
        vectors = cls(store, embedder)
        vectors.soon()
        return vectors

    def soon(self) -> None:
        """Something was added: make what is missing, in the background."""
        self._wanted = True
        if self._task is None:
            self._task = asyncio.create_task(self._make_missing(), name="embed-episodes")

    async def settled(self) -> None:
        """Wait until nothing is missing, or the embedder cannot be asked."""
        while self._task is not None:
            await asyncio.wait((self._task,))

    async def close(self) -> None:
        """Stop; what is missing is made when the memory is next opened."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def of(self, question: str) -> Embeddings | None:
        """The question's vector; None where the embedder cannot be asked now: words will do."""
        try:
            return await self._embedder.embed([question], purpose="query")
        except ModelError:
            return None

    def nearest(self, db: sqlite3.Connection, question: Embeddings) -> list[int]:
        """The ids of the episodes most like the question. In the reader's thread."""
        self._likeness.follow(db)
        return self._likeness.nearest(question)

    def cosines(self, question: Embeddings, ids: Sequence[int]) -> dict[int, float]:
        """How like the question these episodes are, where it is known. In the reader's thread, after `nearest`."""
        return self._likeness.cosines(question, ids)

    def forget(self, _: sqlite3.Connection) -> None:
        """Hold nothing in memory. In the reader's thread."""
        self._likeness.forget()

    async def _make_missing(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                while missing := await self._store.read(episodes.missing_vectors, _AT_ONCE):
                    embedded = await self._embedder.embed([text for _, text in missing])
                    rows = {row_id: bytes(embedded[i]) for i, (row_id, _) in enumerate(missing)}
                    await self._store.change(episodes.put_vectors, rows)
        except (ModelError, MemoryUnavailableError):
            return  # the next addition tries again
        finally:
            self._task = None


def _match(db: sqlite3.Connection, where: str, embedder: Embedder, *, again: bool) -> None:
    """Record the embedder of a file that has none yet; refuse another than the one recorded."""
    recorded = entries.setting(db, _EMBEDDER)
    given = f"{embedder.name} ({embedder.dimensions})"
    if recorded is not None and recorded != given:
        if not again:
            raise EmbedderMismatchError(where, recorded, given, "open it with `embed_again=True`")
        db.execute("DELETE FROM episode_vectors")
    entries.put_setting(db, _EMBEDDER, given)
