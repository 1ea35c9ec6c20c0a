"""The responses and conversations of one tenant, in a file of its own folder. The runs behind them are in the journal.

Each call opens the file anew: nothing is held between requests, and another process may write as well.
"""

import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import msgspec

from agent_api.openai.resource import Response
from agent_api.openai.responses_request import Item
from agent_core.errors import JournalUnavailableError

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    response_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    is_settled INTEGER NOT NULL,
    response TEXT NOT NULL,
    input TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS unsettled ON responses (conversation_id) WHERE is_settled = 0;
CREATE TABLE IF NOT EXISTS conversations (
    conversation_id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    metadata TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id TEXT NOT NULL,
    item_id TEXT NOT NULL,
    item TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS item_ids ON items (conversation_id, item_id);
"""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A response with what it was made from."""

    response: Response
    input: list[Item]
    run_id: str = ""
    """The agent's run; empty: the model was asked directly."""
    is_settled: bool = True
    """False: what the run says is not in `response` yet."""

    @property
    def conversation_id(self) -> str:
        """The conversation that it belongs to; empty: none."""
        return self.response.conversation["id"] if self.response.conversation else ""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation without its items."""

    id: str
    created_at: int
    metadata: dict[str, str]


class ResponseStore:
    """The file of one tenant."""

    def __init__(self, data_path: Path) -> None:
        self._path = data_path / "responses.db"

    async def put(self, stored: Stored) -> None:
        """Keep a response. Its conversation gets the input when it is first kept, and the output when it is settled.

        Raises:
            JournalUnavailableError: the storage failed; nothing was written.
        """

        def write(db: sqlite3.Connection) -> None:
            found = db.execute(
                "SELECT is_settled FROM responses WHERE response_id = ?", (stored.response.id,)
            ).fetchone()
            if found is not None and found[0]:
                return  # somebody else was first
            if stored.conversation_id:
                new = stored.input if found is None else []
                _add(
                    db, stored.conversation_id, [*new, *(stored.response.output if stored.is_settled else ())]
                )
            db.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?)",
                (
                    stored.response.id,
                    stored.run_id,
                    stored.conversation_id,
                    stored.is_settled,
                    _text(stored.response),
                    _text(stored.input),
                ),
            )

        await self._write(write)

    async def get(self, response_id: str) -> Stored | None:
        """A response by its id; None: there is none."""
        query = "SELECT response, input, run_id, is_settled FROM responses WHERE response_id = ?"
        rows = await self._read(query, response_id)
        return _stored(rows[0]) if rows else None

    async def unsettled(self, conversation_id: str) -> list[Stored]:
        """Those responses of a conversation whose output it does not have yet."""
        query = "SELECT response, input, run_id, is_settled FROM responses WHERE conversation_id = ? AND is_settled = 0"
        return [_stored(row) for row in await self._read(query, conversation_id)]

    async def delete(self, response_id: str) -> bool:
        """Forget a response; returns whether there was one."""
        return await self._write(
            lambda db: db.execute("DELETE FROM responses WHERE response_id = ?", (response_id,)).rowcount > 0
        )

    async def forget(self, conversation_id: str, run_ids: Sequence[str]) -> None:
        """Erase a conversation and the responses of these runs: no byte of them stays in the file."""
        if not self._path.exists():
            return

        def write(db: sqlite3.Connection) -> None:
            for statement in (
                "DELETE FROM responses WHERE conversation_id = ?",
                "DELETE FROM items WHERE conversation_id = ?",
                "DELETE FROM conversations WHERE conversation_id = ?",
            ):
                db.execute(statement, (conversation_id,))
            db.executemany("DELETE FROM responses WHERE run_id = ?", [(run_id,) for run_id in run_ids])

        await self._write(write)
        await self._read("PRAGMA wal_checkpoint(TRUNCATE)")

    async def create(self, conversation: Conversation, items: Sequence[Item]) -> None:
        """Begin a conversation."""

        def write(db: sqlite3.Connection) -> None:
            row = (conversation.id, conversation.created_at, _text(conversation.metadata))
            db.execute("INSERT INTO conversations VALUES (?, ?, ?)", row)
            _add(db, conversation.id, items)

        await self._write(write)

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """A conversation by its id; None: there is none."""
        query = "SELECT created_at, metadata FROM conversations WHERE conversation_id = ?"
        for created_at, metadata in await self._read(query, conversation_id):
            read = msgspec.json.decode(metadata, type=dict[str, str])
            return Conversation(id=conversation_id, created_at=int(created_at), metadata=read)
        return None

    async def update(self, conversation_id: str, metadata: dict[str, str]) -> None:
        """Other metadata for a conversation."""
        statement = "UPDATE conversations SET metadata = ? WHERE conversation_id = ?"
        await self._write(lambda db: db.execute(statement, (_text(metadata), conversation_id)))

    async def drop(self, conversation_id: str) -> None:
        """Forget a conversation with its items."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM items WHERE conversation_id = ?", (conversation_id,))
            db.execute("DELETE FROM conversations WHERE conversation_id = ?", (conversation_id,))

        await self._write(write)

    async def items(self, conversation_id: str) -> list[Item]:
        """The items of a conversation, the oldest first."""
        query = "SELECT item FROM items WHERE conversation_id = ? ORDER BY number"
        return [msgspec.json.decode(row[0], type=Item) for row in await self._read(query, conversation_id)]

    async def add_items(self, conversation_id: str, items: Sequence[Item]) -> None:
        """More items at the end of a conversation; one that it has already stays as it is."""
        await self._write(lambda db: _add(db, conversation_id, items))

    async def drop_item(self, conversation_id: str, item_id: str) -> bool:
        """Forget an item; returns whether there was one."""
        statement = "DELETE FROM items WHERE conversation_id = ? AND item_id = ?"
        return await self._write(lambda db: db.execute(statement, (conversation_id, item_id)).rowcount > 0)

    async def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        def read() -> list[tuple[str, ...]]:
            with self._open() as db:
                return db.execute(query, values).fetchall()

        return await anyio.to_thread.run_sync(read)

    async def _write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        def write() -> T:
            with self._open() as db, db:
                db.execute("BEGIN IMMEDIATE")
                return change(db)

        return await anyio.to_thread.run_sync(write)

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            is_new = not self._path.exists()
            with closing(sqlite3.connect(self._path, timeout=5.0, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous=FULL")
                db.execute("PRAGMA secure_delete=ON")
                if is_new:
                    self._path.chmod(0o600)
                    db.execute("PRAGMA journal_mode=WAL")
                    db.executescript(_SCHEMA)
                yield db
        except sqlite3.Error as error:
            raise JournalUnavailableError(str(self._path), str(error)) from error


def new_conversation(conversation_id: str, metadata: dict[str, str]) -> Conversation:
    """A conversation that begins now."""
    return Conversation(id=conversation_id, created_at=int(time.time()), metadata=metadata)


def _add(db: sqlite3.Connection, conversation_id: str, items: Sequence[Item]) -> None:
    rows = [(conversation_id, str(item["id"]), _text(item)) for item in items]
    db.executemany("INSERT OR IGNORE INTO items (conversation_id, item_id, item) VALUES (?, ?, ?)", rows)


def _stored(row: tuple[str, ...]) -> Stored:
    return Stored(
        response=msgspec.json.decode(row[0], type=Response),
        input=msgspec.json.decode(row[1], type=list[Item]),
        run_id=row[2],
        is_settled=bool(row[3]),
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
