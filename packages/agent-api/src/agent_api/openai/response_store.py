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
CREATE TABLE IF NOT EXISTS told (
    response_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    events TEXT NOT NULL,
    PRIMARY KEY (response_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS first_told ON told (at) WHERE number = 0;
PRAGMA user_version = 2;
"""
_VERSION = 2
TOLD_FOR_S = 86_400
"""How long after its beginning the events of a response that is over are kept."""
_COLUMNS = "response, input, run_id, is_settled, EXISTS (SELECT 1 FROM told WHERE told.response_id = responses.response_id)"
_ONE = f"SELECT {_COLUMNS} FROM responses WHERE response_id = ?"  # noqa: S608  # ours


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A response with what it was made from."""

    response: Response
    input: list[Item]
    run_id: str = ""
    """The agent's run; empty: the model was asked directly."""
    is_settled: bool = True
    """False: what the run says is not in `response` yet."""
    is_told: bool = False
    """Whether its events are kept, and can be told again."""

    @property
    def conversation_id(self) -> str:
        """The conversation that it belongs to; empty: none."""
        return self.response.conversation["id"] if self.response.conversation else ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some events of a response, as they were told in one go."""

    number: int
    """Of the first of them."""
    seq: int
    """The last event of the run that they are made from."""
    events: list[dict[str, object]]


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation without its items."""

    id: str
    created_at: int
    metadata: dict[str, str]


class ResponseStore:
    """The file of one tenant."""

    def __init__(self, data_path: Path) -> None:
        self._path = data_path / "responses.db"

    async def put(self, stored: Stored, part: Part | None = None) -> None:
        """Keep a response. Its conversation gets the input when it is first kept, and the output when it is settled.

        Args:
            stored: The response.
            part: Events of it that are to be told once this returns.

        Raises:
            JournalUnavailableError: the storage failed; nothing was written.
        """

        def write(db: sqlite3.Connection) -> None:
            found = _is_settled(db, stored.response.id)
            if found:
                return  # somebody else was first
            _put(db, stored, is_new=found is None)
            if part is not None:
                _tell(db, stored.response.id, part)

        await self._write(write)

    async def tell(self, stored: Stored, part: Part) -> bool:
        """Keep more events of a response, and how it ended if it has; False: it was forgotten, or is over already.

        Raises:
            JournalUnavailableError: the storage failed; nothing was written.
        """

        def write(db: sqlite3.Connection) -> bool:
            if _is_settled(db, stored.response.id) != 0:
                return False
            _tell(db, stored.response.id, part)
            if stored.is_settled:
                _put(db, stored, is_new=False)
                _drop_old(db)
            return True

        return await self._write(write)

    async def told(self, response_id: str) -> tuple[Stored, list[Part]] | None:
        """A response with the events that are kept of it; None: there is none."""

        def read(db: sqlite3.Connection) -> tuple[Stored, list[Part]] | None:
            db.execute("BEGIN")
            row = db.execute(_ONE, (response_id,)).fetchone()
            query = "SELECT number, seq, events FROM told WHERE response_id = ? ORDER BY number"
            parts = [
                Part(number=number, seq=seq, events=msgspec.json.decode(events, type=list[Item]))
                for number, seq, events in db.execute(query, (response_id,))
            ]
            db.execute("COMMIT")
            return None if row is None else (_stored(row), parts)

        return await self._within(read)

    async def get(self, response_id: str) -> Stored | None:
        """A response by its id; None: there is none."""
        rows = await self._read(_ONE, response_id)
        return _stored(rows[0]) if rows else None

    async def untold(self) -> list[str]:
        """Those responses whose events are kept and are not all there."""
        query = (
            "SELECT DISTINCT response_id FROM told JOIN responses USING (response_id) WHERE is_settled = 0"
        )
        return [row[0] for row in await self._read(query)] if self._path.exists() else []

    async def unsettled(self, conversation_id: str) -> list[Stored]:
        """Those responses of a conversation whose output it does not have yet."""
        query = f"SELECT {_COLUMNS} FROM responses WHERE conversation_id = ? AND is_settled = 0"  # noqa: S608  # ours
        return [_stored(row) for row in await self._read(query, conversation_id)]

    async def delete(self, response_id: str) -> bool:
        """Forget a response; returns whether there was one."""

        def write(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM told WHERE response_id = ?", (response_id,))
            return db.execute("DELETE FROM responses WHERE response_id = ?", (response_id,)).rowcount > 0

        return await self._write(write)

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
            db.execute("DELETE FROM told WHERE response_id NOT IN (SELECT response_id FROM responses)")

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
        return await self._within(lambda db: db.execute(query, values).fetchall())

    async def _within(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def opened() -> T:
            with self._open() as db:
                return work(db)

        return await anyio.to_thread.run_sync(opened)

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
                if db.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
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


def _is_settled(db: sqlite3.Connection, response_id: str) -> int | None:
    """Whether a response is settled; None: there is none."""
    found = db.execute("SELECT is_settled FROM responses WHERE response_id = ?", (response_id,)).fetchone()
    return None if found is None else int(found[0])


def _put(db: sqlite3.Connection, stored: Stored, *, is_new: bool) -> None:
    if stored.conversation_id:
        said = whole_items(stored.response.output) if stored.is_settled else ()
        _add(db, stored.conversation_id, [*(stored.input if is_new else ()), *said])
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


def _tell(db: sqlite3.Connection, response_id: str, part: Part) -> None:
    row = (response_id, part.number, part.seq, int(time.time()), _text(part.events))
    db.execute("INSERT INTO told VALUES (?, ?, ?, ?, ?)", row)


def _drop_old(db: sqlite3.Connection) -> None:
    """Drop the events of responses that began long ago and are over."""
    old = (
        "SELECT told.response_id FROM told JOIN responses USING (response_id) "
        "WHERE told.number = 0 AND told.at < ? AND responses.is_settled = 1"
    )
    db.execute(f"DELETE FROM told WHERE response_id IN ({old})", (int(time.time()) - TOLD_FOR_S,))  # noqa: S608  # ours


def whole_items(output: Sequence[Item]) -> list[Item]:
    """What was said to its end: a message that was broken off, and begun anew behind it, is nothing to go on from."""
    return [item for item in output if item.get("status") != "incomplete"]


def _stored(row: tuple[str, ...]) -> Stored:
    return Stored(
        response=msgspec.json.decode(row[0], type=Response),
        input=msgspec.json.decode(row[1], type=list[Item]),
        run_id=row[2],
        is_settled=bool(row[3]),
        is_told=bool(row[4]),
    )


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
