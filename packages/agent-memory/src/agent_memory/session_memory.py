"""The memory of sessions on a journal: their conversations, rebuilt from it and then kept up to date by what it gets.

Nothing is stored but pins: the journal is the truth, and what is kept here may be dropped at any time.
"""

import asyncio
from collections.abc import Sequence

import moka_py
import msgspec

from agent_core.errors import ContextTooLongError, ModelError
from agent_core.events import OutcomeStored
from agent_core.messages import Message, system, user
from agent_core.ports import Clock, HydrateRequest, Journal
from agent_core.recollection import NOT_SHOWN
from agent_core.state import RunState
from agent_core.system import SystemClock
from agent_core.taint import labels_seen, labels_shown
from agent_core.tools import Label
from agent_core.transitions import replay
from agent_memory import compaction
from agent_memory.long_term.store import LongTermMemory
from agent_memory.short_term import CountTokens, ShortTermWindow, Turn
from agent_memory.summaries import Summarise
from agent_memory.tokens import estimate_tokens

_ALL_RUNS = 1 << 31
"""No session has more; reading ends with the budget."""
_NEWEST = 16
"""So many runs are looked at for those that other processes finished."""
_COMPACTED = 4
"""With compaction, so many budgets of turns are kept: the window, and what its summary is made of."""
_SUMMARY_SHARE = 0.15
_MAX_SUMMARY_TOKENS = 800


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What one run adds to its session's conversation."""

    run_id: str
    started_at: float
    messages: Turn
    tokens: int
    labels: frozenset[Label] = frozenset()
    """Of what it had read, also before its session's window began, and from long-term memory."""


class _Session:
    """The newest runs of a session, oldest first: those that a budget of `covered_tokens` can take, and one more."""

    def __init__(self) -> None:
        self.covered_tokens = -1
        """-1: the journal was not read yet."""
        self.runs: list[_Remembered] = []
        self.under_way: set[str] = set()
        """Runs that were not finished when last looked at."""
        self.first_kept = ""
        """The run that the window began with, last time."""
        self.summary: tuple[str, str] = ("", "")
        """By a model: the first run that it does not cover, and its text."""
        self.summarising: asyncio.Task[None] | None = None

    def add(self, *runs: _Remembered) -> None:
        """Add what is new, or newer, and forget what no covered budget can take."""
        by_id = {run.run_id: run for run in (*self.runs, *runs)}
        self.runs = sorted(by_id.values(), key=lambda run: (run.started_at, run.run_id))
        if self.covered_tokens < 0:
            return
        surplus = sum(run.tokens for run in self.runs) - self.covered_tokens
        while self.runs and surplus > self.runs[0].tokens:
            surplus -= self.runs.pop(0).tokens


class SessionMemory:
    """The memory port on a journal: hydrates the earlier, finished runs of the session, within the budget.

    It keeps the conversations of the `max_sessions` sessions used last and reads the others from the journal again.
    Runs that other processes finish in a session are seen when it is next hydrated.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        model: str,
        count_tokens: CountTokens = estimate_tokens,
        max_sessions: int = 1_000,
        idle_s: float | None = None,
        ttl_s: float | None = None,
        compact: bool = False,
        summarise: Summarise | None = None,
        pins: LongTermMemory | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read sessions from a journal, which the caller closes.

        Args:
            journal: Where the runs are.
            model: For an error's words.
            count_tokens: How many tokens a message takes; `tokens.counted_by` knows it exactly, given a tokenizer.
            max_sessions: How many sessions are kept in memory.
            idle_s: A session that was not used for so long is dropped from memory; None: only to make room.
            ttl_s: What was said longer ago is not in a window any more; None: for ever.
            compact: Put a short extract of what left the window in its place.
            summarise: Makes better summaries, in the background; such as `ModelSummary(model)`. Implies `compact`.
            pins: Where pins are kept, by session; None: in memory, until the process ends.
            clock: The time; the system's by default.
        """
        self._journal = journal
        self._model = model
        self._count_tokens = count_tokens
        self._ttl_s = ttl_s
        self._compact = compact or summarise is not None
        self._summarise = summarise
        self._stored_pins = pins
        self._pins: dict[str, tuple[Message, ...]] = {}
        self._clock = clock or SystemClock()
        self._sessions: moka_py.Moka[str, _Session] = moka_py.Moka(max_sessions, tti=idle_s, policy="lru")

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:
        """What was said in the session before this run, oldest first, within the budget.

        Raises:
            ContextTooLongError: the input and the pinned alone are over the budget.
            JournalUnavailableError: the journal cannot be read.
        """
        budget_tokens = request.budget_tokens
        if request.instructions:
            budget_tokens -= self._count_tokens(system(request.instructions))
        window = ShortTermWindow(
            budget_tokens=budget_tokens, model=self._model, count_tokens=self._count_tokens
        )
        session = self._session(request.session_id)
        await self._follow(session, request, budget_tokens * (_COMPACTED if self._compact else 1))
        oldest = float("-inf") if self._ttl_s is None else self._clock.now() - self._ttl_s
        # The run itself may have been remembered before a crash.
        runs = [run for run in session.runs if run.run_id != request.run_id and run.started_at >= oldest]
        pinned = self.pinned(request.session_id)
        fitted = self._fitted(session, runs, window, request.input, pinned)
        if not _hides_what_was_read(runs, fitted):
            return fitted
        try:
            return self._fitted(session, runs, window, request.input, (*pinned, user(NOT_SHOWN)))
        except ContextTooLongError:  # without a word of what was said there is nothing to be warned of
            return window.fit((), request.input, pinned)

    async def remember(self, outcome: RunState) -> None:
        """Add the run to its session's conversation; told again of a run, keep the later."""
        self._session(outcome.session_id).add(self._remembered(outcome))

    def pinned(self, session_id: str) -> tuple[Message, ...]:
        """What stays in every window of a session, oldest pin first."""
        if self._stored_pins is None:
            return self._pins.get(session_id, ())
        return self._stored_pins.get(_pin_key(session_id), tuple[Message, ...]) or ()

    async def pin(self, session_id: str, message: Message) -> None:
        """Keep a message in every window of a session, until it is unpinned. Pinned twice, it is there once."""
        if message not in self.pinned(session_id):
            await self._put_pins(session_id, (*self.pinned(session_id), message))

    async def unpin(self, session_id: str, message: Message) -> None:
        """Let a message go with its turn again; one that is not pinned is none of our business."""
        await self._put_pins(session_id, tuple(one for one in self.pinned(session_id) if one != message))

    async def forget(self, session_id: str) -> None:
        """Hold nothing of a session any more, its pins included; the journal's part is `SqliteJournal.forget`."""
        self._sessions.remove(session_id)
        await self._put_pins(session_id, ())

    async def _put_pins(self, session_id: str, pinned: tuple[Message, ...]) -> None:
        if self._stored_pins is not None:
            await self._stored_pins.set(_pin_key(session_id), pinned)
        elif pinned:
            self._pins[session_id] = pinned
        else:
            self._pins.pop(session_id, None)

    def _session(self, session_id: str) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = _Session()
            self._sessions.set(session_id, session)
            self._sessions.run_pending_tasks()  # or it evicts some time later
        return session

    # ── from the journal ─────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self, session: _Session, request: HydrateRequest, budget_tokens: int) -> None:
        """Read what is missing: all that the budget can take, or what others finished since."""
        if request.is_first:
            return
        if session.covered_tokens >= budget_tokens and await self._read_fresh(session, request):
            return
        runs = await self._read(request, budget_tokens)
        session.covered_tokens = max(session.covered_tokens, budget_tokens)
        session.add(*runs)

    async def _read_fresh(self, session: _Session, request: HydrateRequest) -> bool:
        """Add the finished runs that are newer than those known, or were under way when last looked at.

        False: there are so many that all must be read again.
        """
        known = {run.run_id for run in session.runs}
        waited_for, session.under_way = session.under_way, set()
        fresh: list[_Remembered] = []
        met, seen = False, 0
        async for head in self._journal.heads(session_id=request.session_id, limit=_NEWEST):
            seen += 1
            met = met or head.run_id in known
            if (
                head.run_id in known
                or head.run_id == request.run_id
                or (met and head.run_id not in waited_for)
            ):
                continue
            if isinstance(head.last.event, OutcomeStored):
                fresh.append(await self._read_run(head.run_id))
            else:
                session.under_way.add(head.run_id)
        session.add(*fresh)
        return met or seen < _NEWEST

    async def _read(self, request: HydrateRequest, budget_tokens: int) -> list[_Remembered]:
        """The finished runs of the session, newest first, until they fill the budget."""
        runs: list[_Remembered] = []
        left = budget_tokens
        async for head in self._journal.heads(session_id=request.session_id, limit=_ALL_RUNS):
            if not isinstance(head.last.event, OutcomeStored):
                continue
            runs.append(await self._read_run(head.run_id))
            left -= runs[-1].tokens
            if left < 0:
                break
        return runs

    async def _read_run(self, run_id: str) -> _Remembered:
        return self._remembered(replay(run_id, [stored.event async for stored in self._journal.read(run_id)]))

    def _remembered(self, state: RunState) -> _Remembered:
        messages = _said(state)
        return _Remembered(
            run_id=state.run_id,
            started_at=state.started_at,
            messages=messages,
            tokens=sum(map(self._count_tokens, messages)),
            labels=labels_seen(state),
        )

    def _fitted(
        self,
        session: _Session,
        runs: Sequence[_Remembered],
        window: ShortTermWindow,
        new: Message,
        pinned: Sequence[Message],
    ) -> Sequence[Message]:
        if self._compact:
            return self._compacted(session, runs, window, new, pinned)
        return window.fit([message for run in runs for message in run.messages], new, pinned)

    # ── compaction ───────────────────────────────────────────────────────────────────────────────────────────────

    def _compacted(
        self,
        session: _Session,
        runs: Sequence[_Remembered],
        window: ShortTermWindow,
        new: Message,
        pinned: Sequence[Message],
    ) -> Sequence[Message]:
        """The window, with a summary in the place of what left it."""
        messages = [message for run in runs for message in run.messages]
        always = [*(message for message in messages if message.role == "system"), *pinned]
        room = window.room(new, always)
        if sum(run.tokens for run in runs) <= room:
            session.first_kept = ""
            return window.fit(messages, new, pinned)
        summary_tokens = min(int(room * _SUMMARY_SHARE), _MAX_SUMMARY_TOKENS)
        began = next((i for i, run in enumerate(runs) if run.run_id == session.first_kept), 0)
        first = compaction.first_kept([run.tokens for run in runs], room - summary_tokens, began)
        session.first_kept = runs[first].run_id if first < len(runs) else ""
        left = [run.messages for run in runs[:first]]
        self._summarise_soon(session, left, summary_tokens)
        made_for, text = session.summary
        if made_for != session.first_kept or not text:
            text = compaction.extract(left, summary_tokens, self._count_tokens)
        summary = compaction.summary(text)
        if not text or self._count_tokens(summary) > summary_tokens:
            return window.fit([message for run in runs[first:] for message in run.messages], new, pinned)
        kept = [message for run in runs[first:] for message in run.messages]
        return window.fit(kept, new, (*pinned, summary))

    def _summarise_soon(self, session: _Session, left: Sequence[Turn], max_tokens: int) -> None:
        """Have the model summarise what left, once for every boundary, while the run goes on without waiting."""
        boundary = session.first_kept
        if self._summarise is None or session.summarising is not None or session.summary[0] == boundary:
            return
        session.summarising = asyncio.create_task(
            self._make_summary(self._summarise, session, boundary, left, max_tokens), name="summarise"
        )

    async def _make_summary(
        self,
        summarise: Summarise,
        session: _Session,
        boundary: str,
        left: Sequence[Turn],
        max_tokens: int,
    ) -> None:
        try:
            session.summary = (boundary, await summarise(left, max_tokens))
        except ModelError:
            session.summary = (boundary, "")  # the extract will do, until the boundary moves
        finally:
            session.summarising = None


def _pin_key(session_id: str) -> str:
    return f"pins/{session_id}"


def _hides_what_was_read(runs: Sequence[_Remembered], fitted: Sequence[Message]) -> bool:
    """Whether a run is in the window that had read something which is not: it may have said it in words of its own."""
    shown = labels_shown(fitted)
    kept = {id(message) for message in fitted}
    return any(
        not run.labels <= shown and any(id(message) in kept for message in run.messages) for run in runs
    )


def _said(state: RunState) -> Turn:
    """The input, the tool calls with their results, and the answer; neither context nor answers that were rejected."""
    messages = list(state.messages)
    # The context stands before the input, and may hold an equal message: the last one is the input.
    start = max((i for i, message in enumerate(messages) if message == state.input), default=0)
    since = messages[start:]
    return tuple(
        message
        for i, message in enumerate(since)
        if i in {0, len(since) - 1} or message.tool_calls or message.tool_results
    )
