"""Short-term memory: what was said in a session before, as much of it as fits. No model is asked, nothing is stored.

`ShortTermWindow` is pure. `SessionMemory` gives it the session's conversation, rebuilt from the journal once and then
kept up to date by what it is told.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from agent_core.errors import ContextTooLongError
from agent_core.events import OutcomeStored
from agent_core.messages import Message, system
from agent_core.ports import HydrateRequest, Journal
from agent_core.state import RunState
from agent_core.transitions import replay
from agent_memory.tokens import estimate_tokens

_ALL_RUNS = 1 << 31
"""No session has more; reading ends with the budget."""

CountTokens: TypeAlias = Callable[[Message], int]
"""How many tokens a message takes, with what surrounds it in the prompt."""

Turn: TypeAlias = tuple[Message, ...]
"""What belongs together: a person's message and all that was said and done until the next one."""


def turns(messages: Iterable[Message]) -> list[Turn]:
    """The conversation, cut before each message of a person. A tool's result stays with its call."""
    cut: list[list[Message]] = []
    for message in messages:
        if message.role == "user" or not cut:
            cut.append([])
        cut[-1].append(message)
    return [tuple(turn) for turn in cut]


class ShortTermWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Chooses what stays in a prompt of `budget_tokens`: the pinned, and the newest whole turns."""

    budget_tokens: int
    model: str
    """For the error's words only."""
    count_tokens: CountTokens = estimate_tokens

    def fit(self, messages: Sequence[Message], new: Message) -> tuple[Message, ...]:
        """The messages that belong before the input `new`, oldest first: system messages, then the turns that fit.

        The turns kept are those at the end, without gaps, so the first that does not fit ends the window.

        Raises:
            ContextTooLongError: the input and the system messages alone are over the budget.
        """
        pinned = [message for message in messages if message.role == "system"]
        left = self.budget_tokens - sum(map(self.count_tokens, (*pinned, new)))
        if left < 0:
            raise ContextTooLongError(self.model, self.budget_tokens - left, self.budget_tokens)
        kept: list[Turn] = []
        for turn in reversed(turns(message for message in messages if message.role != "system")):
            left -= sum(map(self.count_tokens, turn))
            if left < 0:
                break
            kept.append(turn)
        return (*pinned, *(message for turn in reversed(kept) for message in turn))


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What one run adds to its session's conversation."""

    run_id: str
    started_at: float
    messages: Turn
    tokens: int


class _Session:
    """The newest runs of a session, oldest first: those that a budget of `covered_tokens` can take, and one more."""

    def __init__(self) -> None:
        self.covered_tokens = -1
        """-1: the journal was not read yet."""
        self.runs: list[_Remembered] = []

    def add(self, *runs: _Remembered) -> None:
        """Add what is new, or newer, and forget what no covered budget can take."""
        by_id = {run.run_id: run for run in (*self.runs, *runs)}
        self.runs = sorted(by_id.values(), key=lambda run: (run.started_at, run.run_id))
        if self.covered_tokens < 0:
            return
        surplus = sum(run.tokens for run in self.runs) - self.covered_tokens
        while self.runs and surplus > self.runs[0].tokens:
            surplus -= self.runs.pop(0).tokens

    def before(self, run_id: str) -> list[Message]:
        """The conversation, but for the run itself, which may have been remembered before a crash."""
        return [message for run in self.runs if run.run_id != run_id for message in run.messages]


class SessionMemory:
    """The memory port on a journal: hydrates the earlier, finished runs of the session, within the budget.

    It keeps the conversations of the `max_sessions` sessions used last and reads the others from the journal again.
    Runs that another process finishes in a session that is kept here are seen once the session is read again.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        model: str,
        count_tokens: CountTokens = estimate_tokens,
        max_sessions: int = 1_000,
    ) -> None:
        self._journal = journal
        self._model = model
        self._count_tokens = count_tokens
        self._max_sessions = max_sessions
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:
        """What was said in the session before this run, oldest first, within the budget.

        Raises:
            ContextTooLongError: the input alone is over the budget.
            JournalUnavailableError: the journal cannot be read.
        """
        budget_tokens = request.budget_tokens
        if request.instructions:
            budget_tokens -= self._count_tokens(system(request.instructions))
        window = ShortTermWindow(
            budget_tokens=budget_tokens, model=self._model, count_tokens=self._count_tokens
        )
        session = self._session(request.session_id)
        if session.covered_tokens < budget_tokens:
            runs = await self._read(request)
            session.covered_tokens = max(session.covered_tokens, budget_tokens)
            session.add(*runs)
        return window.fit(session.before(request.run_id), request.input)

    async def remember(self, outcome: RunState) -> None:
        """Add the run to its session's conversation; told again of a run, keep the later."""
        self._session(outcome.session_id).add(self._remembered(outcome))

    def _session(self, session_id: str) -> _Session:
        session = self._sessions.setdefault(session_id, _Session())
        self._sessions.move_to_end(session_id)
        if len(self._sessions) > self._max_sessions:
            self._sessions.popitem(last=False)
        return session

    async def _read(self, request: HydrateRequest) -> list[_Remembered]:
        """The finished runs of the session, newest first, until they fill the budget."""
        runs: list[_Remembered] = []
        left = request.budget_tokens
        async for head in self._journal.heads(session_id=request.session_id, limit=_ALL_RUNS):
            if not isinstance(head.last.event, OutcomeStored):
                continue
            events = [stored.event async for stored in self._journal.read(head.run_id)]
            runs.append(self._remembered(replay(head.run_id, events)))
            left -= runs[-1].tokens
            if left < 0:
                break
        return runs

    def _remembered(self, state: RunState) -> _Remembered:
        messages = _said(state)
        return _Remembered(
            run_id=state.run_id,
            started_at=state.started_at,
            messages=messages,
            tokens=sum(map(self._count_tokens, messages)),
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
