"""Ingests that go on in the background of a daemon: how far each is, and what became of it. Knows no route.

What became of one is kept in a file; how far it is, in memory. One that the daemon's end broke off is asked for again, and goes
on where it was.
"""

import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup

from agent_api.errors import NotFoundError, TooManyIngestsError
from agent_api.kept_results import KEPT, KeptResults
from agent_api.knowledge import KnowledgeBases
from agent_core.errors import AgentError

if TYPE_CHECKING:
    from agent_memory import Progress

logger = logging.getLogger("agentd")

MAX_AT_ONCE = 4
"""One is read at a time, for a tenant; the others wait."""


class KeptOut(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is not in the knowledge base, and why."""

    source: str
    reason: str


class IngestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every source."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    removed: tuple[str, ...]
    skipped: tuple[KeptOut, ...]
    failed: tuple[KeptOut, ...]


class IngestView(msgspec.Struct, frozen=True, kw_only=True):
    """How far an ingest is."""

    ingest_id: str
    name: str
    """Of the knowledge base."""
    status: Literal["running", "done", "failed"]
    """`failed`: it ended early, and what was committed is kept. Files that cannot be read do not end it."""
    done: int = 0
    """Files that are through."""
    total: int = 0
    passages: int = 0
    error: str = ""
    result: IngestResult | None = None


class Ingests:
    """Those of one tenant, in the task group that is given."""

    def __init__(self, knowledge: KnowledgeBases, tasks: TaskGroup) -> None:
        self._knowledge = knowledge
        self._tasks = tasks
        self._views: dict[str, IngestView] = {}
        self._kept = KeptResults(knowledge.folder / "ingests", IngestView)

    def check(self) -> None:
        """Whether one more can be begun.

        Raises:
            TooManyIngestsError: it cannot.
        """
        if sum(view.status == "running" for view in self._views.values()) >= MAX_AT_ONCE:
            raise TooManyIngestsError(MAX_AT_ONCE)

    def begin(
        self,
        name: str,
        origins: Sequence[Path],
        *,
        like: str = "",
        remove_missing: bool = False,
        ingest_id: str = "",
    ) -> IngestView:
        """Read into a base in the background; see `KnowledgeBases.add`. `ingest_id`: empty, a new one.

        Raises:
            TooManyIngestsError: as many as allowed are under way.
        """
        self.check()
        ingest_id = ingest_id or f"ingest_{secrets.token_hex(8)}"
        view = IngestView(ingest_id=ingest_id, name=name, status="running")
        over = [one for one, known in self._views.items() if known.status != "running"]
        for one in over[: max(0, len(over) - KEPT + 1)]:
            del self._views[one]
        self._views[view.ingest_id] = view
        self._tasks.start_soon(self._read, view, origins, like, remove_missing)
        return view

    def view(self, ingest_id: str) -> IngestView:
        """How far one is.

        Raises:
            NotFoundError: there is none of that id, it was over long ago, or a daemon's end broke it off.
        """
        known = self.known(ingest_id)
        if known is None:
            raise NotFoundError(f"there is no ingest {ingest_id!r}")
        return known

    def known(self, ingest_id: str) -> IngestView | None:
        """The same; None: there is none."""
        return self._views.get(ingest_id) or self._kept.find(ingest_id)

    async def _read(self, view: IngestView, origins: Sequence[Path], like: str, remove_missing: bool) -> None:
        def tell(progress: "Progress") -> None:
            self._now(view, done=progress.done, total=progress.total, passages=progress.passages)

        try:
            report = await self._knowledge.add(
                view.name, origins, like=like, on_progress=tell, remove_missing=remove_missing
            )
        except AgentError as error:
            self._now(view, status="failed", error=str(error))
        except Exception:  # a fault of one ingest must not end the daemon
            logger.exception("ingest %s into %s ended by a fault", view.ingest_id, view.name)
            self._now(view, status="failed", error="a fault in the daemon; its log says more")
        else:
            result = msgspec.convert(report, IngestResult, from_attributes=True)
            self._now(view, status="done", passages=report.passages, result=result)
        await anyio.to_thread.run_sync(self._kept.keep, view.ingest_id, self._views[view.ingest_id])

    def _now(self, view: IngestView, **changes: object) -> None:
        self._views[view.ingest_id] = msgspec.structs.replace(self._views[view.ingest_id], **changes)
