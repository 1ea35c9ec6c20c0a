"""The sessions of one tenant: their names, and what was said in them. What belongs to a session is in the journal; here it has
a name, and an order by use.
"""

import base64
import binascii
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec

from agent_api.access.attempt import ONLY, Attempt
from agent_api.errors import InvalidRequestError, NotFoundError
from agent_api.supervisor import LIST_AT_MOST, Supervisor
from agent_api.wire.runs import RunView
from agent_core.events import RunStarted
from agent_core.messages import Message
from agent_core.ports import RunHead
from agent_core.state import RunState
from agent_memory.sqlite_store import SqliteStore

RUNS_SHOWN = 100
"""How many runs a session is shown with, the newest."""

SessionMetadata: TypeAlias = Annotated[
    dict[
        Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
        Annotated[str, msgspec.Meta(max_length=512)],
    ],
    msgspec.Meta(max_length=16),
]


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a session."""

    session_id: str
    name: str
    """Empty: nobody gave it one."""
    metadata: dict[str, str]
    created_at: float
    """Seconds since the epoch."""
    updated_at: float
    """When a run of it began or ended, or it was changed."""


class SessionWhole(SessionView, frozen=True, kw_only=True):
    """A session with its runs."""

    runs: tuple[RunView, ...]
    """The newest, in the order in which they were started."""
    older_cursor: str | None
    """To be sent as `cursor` to `GET /api/v1/runs?session_id=` for those before; null: there are none."""


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the sessions, the one used last first."""

    items: tuple[SessionView, ...]
    next_cursor: str | None


class SessionMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message, and the run that it is of."""

    run_id: str
    message: Message


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, the oldest first: whole runs."""

    items: tuple[SessionMessage, ...]
    next_cursor: str | None


class Sessions:
    """The sessions of one tenant."""

    def __init__(
        self, records: SqliteStore, supervisor: Supervisor, *, settle: Callable[[], Awaitable[None]]
    ) -> None:
        """`settle` writes down what was seen of runs so far."""
        self.records = records
        self.settle = settle
        self.supervisor = supervisor

    async def create(self, *, name: str, metadata: Mapping[str, str], attempt: Attempt = ONLY) -> SessionView:
        """A session in which nothing was said yet; or the one that an attempt before this one made.

        Raises:
            MemoryUnavailableError: the storage failed; there is no such session.
        """
        if attempt.is_again:
            known = await self.records.read(kept, attempt.stem_id("session"))
            if known is not None:
                return known
        now = self.supervisor.agent.runner.now()
        view = SessionView(
            session_id=attempt.new_id("session"),
            name=name,
            metadata=dict(metadata),
            created_at=now,
            updated_at=now,
        )
        await self.records.change(put, view)
        return view

    async def page(self, *, cursor: str, limit: int) -> SessionPage:
        """The sessions behind `cursor`, the one used last first.

        Raises:
            InvalidRequestError: the cursor is none of ours.
        """
        await self.settle()
        before = _position(cursor) if cursor else (float("inf"), "")
        views = await self.records.read(used_before, before, limit + 1)
        more = len(views) > limit
        items = tuple(views[:limit])
        return SessionPage(items=items, next_cursor=_cursor(items[-1]) if more else None)

    async def view(self, session_id: str) -> SessionView:
        """What is known of a session.

        Raises:
            NotFoundError: it has no run and was never made.
        """
        found = await self.records.read(kept, session_id)
        if found is not None:
            return found
        async for head in self.supervisor.agent.journal.heads(session_id=session_id, limit=1):
            return _of_journal(head)
        raise NotFoundError(f"there is no session {session_id!r}")

    async def whole(self, session_id: str) -> SessionWhole:
        """A session with its newest runs.

        Raises:
            NotFoundError: it has no run and was never made.
        """
        view = await self.view(session_id)
        runs, more = await self.supervisor.views(session_id=session_id, limit=RUNS_SHOWN)
        return SessionWhole(
            **msgspec.structs.asdict(view),
            runs=tuple(reversed(runs)),
            older_cursor=runs[-1].run_id if more else None,
        )

    async def change(
        self, session_id: str, *, name: str | None, metadata: Mapping[str, str] | None
    ) -> SessionView:
        """Give a session another name or other metadata; None leaves them.

        Raises:
            NotFoundError: it has no run and was never made.
        """
        view = await self.view(session_id)
        changed = SessionView(
            session_id=session_id,
            name=view.name if name is None else name,
            metadata=view.metadata if metadata is None else dict(metadata),
            created_at=view.created_at,
            updated_at=self.supervisor.agent.runner.now(),
        )
        await self.settle()  # or what was seen before would come after
        await self.records.change(put, changed)
        return changed

    async def messages(self, session_id: str, *, cursor: str, limit: int) -> MessagePage:
        """What was said in `limit` runs behind the run `cursor`, the oldest first.

        Raises:
            NotFoundError: there is no such session.
        """
        await self.view(session_id)
        agent = self.supervisor.agent
        heads = agent.journal.heads(session_id=session_id, limit=LIST_AT_MOST)
        run_ids = [head.run_id async for head in heads][::-1]
        if cursor and cursor not in run_ids:
            raise InvalidRequestError(f"{cursor!r} is no run of this session", param="cursor")
        begin = run_ids.index(cursor) + 1 if cursor else 0
        chosen = run_ids[begin : begin + limit]
        items = [
            SessionMessage(run_id=run_id, message=message)
            for run_id in chosen
            for message in said(await agent.runner.load(run_id))
        ]
        more = begin + limit < len(run_ids)
        return MessagePage(items=tuple(items), next_cursor=chosen[-1] if more else None)


def said(state: RunState) -> Sequence[Message]:
    """What a run adds to a conversation: its input, calls with their results, and what was said last."""
    messages = list(state.messages)
    start = max((i for i, message in enumerate(messages) if message == state.input), default=0)
    since = messages[start:]
    ends = {0, len(since) - 1}
    return [one for i, one in enumerate(since) if i in ends or one.tool_calls or one.tool_results]


def used(db: sqlite3.Connection, session_id: str, *, began_at: float, at: float) -> None:
    """A run of the session began or ended."""
    db.execute(
        "INSERT INTO sessions (session_id, created_at, updated_at) VALUES (?, ?, ?) ON CONFLICT (session_id) DO UPDATE "
        "SET updated_at = max(updated_at, excluded.updated_at), created_at = min(created_at, excluded.created_at)",
        (session_id, began_at, at),
    )


def drop(db: sqlite3.Connection, session_id: str) -> None:
    """What is kept here of a session, and what webhooks are told of it."""
    db.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))
    of_tasks = "SELECT webhook_id FROM deliveries JOIN pushes USING (webhook_id) WHERE session_id = ?"
    db.execute(f"DELETE FROM webhooks WHERE webhook_id IN ({of_tasks})", (session_id,))  # noqa: S608  # ours
    db.execute("DELETE FROM pushes WHERE webhook_id NOT IN (SELECT webhook_id FROM webhooks)")
    db.execute("DELETE FROM deliveries WHERE session_id = ?", (session_id,))


_FIELDS = "session_id, name, metadata, created_at, updated_at"


def put(db: sqlite3.Connection, view: SessionView) -> None:
    """Keep what is known of a session, in the place of what was."""
    row = (view.session_id, view.name, msgspec.json.encode(view.metadata).decode())
    db.execute(
        "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)", (*row, view.created_at, view.updated_at)
    )


def kept(db: sqlite3.Connection, session_id: str) -> SessionView | None:
    """What is kept here of a session; None: nothing is."""
    row = db.execute(f"SELECT {_FIELDS} FROM sessions WHERE session_id = ?", (session_id,)).fetchone()  # noqa: S608
    return None if row is None else _view(row)


def used_before(db: sqlite3.Connection, before: tuple[float, str], limit: int) -> list[SessionView]:
    """The sessions used before a time (of one time, by their ids), the one used last first."""
    query = (
        f"SELECT {_FIELDS} FROM sessions WHERE (updated_at, session_id) < (?, ?) "  # noqa: S608  # fields of ours
        "ORDER BY updated_at DESC, session_id DESC LIMIT ?"
    )
    return [_view(row) for row in db.execute(query, (*before, limit))]


def _view(row: tuple[str, str, str, float, float]) -> SessionView:
    return SessionView(
        session_id=row[0],
        name=row[1],
        metadata=msgspec.json.decode(row[2], type=dict[str, str]),
        created_at=row[3],
        updated_at=row[4],
    )


def _of_journal(head: RunHead) -> SessionView:
    began = head.first.event
    at = began.at if isinstance(began, RunStarted) else 0.0
    return SessionView(
        session_id=head.session_id,
        name="",
        metadata={},
        created_at=at,
        updated_at=max(at, head.last.event.at),
    )


def _cursor(view: SessionView) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((view.updated_at, view.session_id))).decode()


def _position(cursor: str) -> tuple[float, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor.encode()), type=tuple[float, str])
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequestError("this is no `next_cursor` of a page before", param="cursor") from error
