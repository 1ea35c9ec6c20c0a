"""One activation of one run: performs what is owed through the ports and appends what came back.

Nothing counts until it is in the journal. Can be ended at any moment (cancelled, killed): the next activation takes up
what is owed then. `runner` is the public face, `dispatch` what becomes of a tool call.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import inf
from types import TracebackType
from typing import Literal

import anyio
from msgspec.structs import replace

from agent_core import dispatch, judging, proposal
from agent_core import effects as eff
from agent_core import events as ev
from agent_core.adapters import Adapters
from agent_core.agents import spec as agent_spec
from agent_core.chat import CallContext, Completion, ModelRequest
from agent_core.errors import (
    IllegalEventError,
    JournalConflictError,
    ModelRefusedError,
    ModelUnavailableError,
    StaleCompletionError,
)
from agent_core.limits import seconds_left
from agent_core.messages import Message
from agent_core.ports import HydrateRequest, Observer, StoredEvent
from agent_core.state import AWAITING, DISPATCHING, REASONING, RunState
from agent_core.tool_modes import TOOL_MODES, Turn, TurnOutcome, TurnView
from agent_core.tools import ToolOffer, ToolSpec
from agent_core.transitions import Effects, evolve, owed

MAX_PARALLEL_TOOLS = 8
TIMED = (REASONING, DISPATCHING)
"""Phases that the run's time ends; the others are short, and lose what they did if they are cut."""
LAST_TURN_S = 60.0
"""How long the last turn may take once the run's time is up."""


class Drive:
    """One activation of one run: the state as far as this writer has seen the journal."""

    __slots__ = (
        "_appending",
        "_observers",
        "_owed",
        "adapters",
        "has_commands",
        "is_cancelled",
        "late",
        "now",
        "resting",
        "scope",
        "state",
        "writer",
    )

    def __init__(
        self, adapters: Adapters, state: RunState, *, writer: str, observers: Sequence[Observer] = ()
    ) -> None:
        """`writer` is a name that no other drive has or had: by it, this one knows its own events again."""
        self.state: RunState = state
        self.writer: str = writer
        self.adapters: Adapters = adapters
        self._observers = (*adapters.observers, *observers)
        self.scope: anyio.CancelScope | None = None
        """What a cancellation in this process ends, and the deadline of a tool that runs alone; there while driven."""
        self.is_cancelled: bool = False
        """True: a person cancelled the run in this process."""
        self.late: str = ""
        """The call whose deadline is that of `scope`."""
        self.has_commands: bool = False
        """True: a person's command is in the journal that this drive may not have read."""
        self.resting: tuple[str, ...] = ()
        """The delegated runs that wait for a person."""
        self.now: Callable[[], float] = adapters.clock.now
        """The time, in seconds since the epoch."""
        self._owed: tuple[RunState, Effects] = (state, owed(state))
        self._appending: anyio.Lock | None = None
        """Held while an event is appended, as long as several effects are performed at once."""

    async def until_rest(self) -> None:
        """Perform what is owed, until that is nothing but a person's decision."""
        while True:
            effects = self._to_perform()
            if effects:
                if self.state.limits.wall_time_s is not None and self.state.phase in TIMED:
                    await self._perform_in_time(effects)
                elif len(effects) == 1:
                    await self.perform(effects[0])
                else:
                    await self._perform_beside_each_other(effects)
            elif self.has_commands:
                self.has_commands = False
                await self.read_commands()
            else:
                return

    def owed(self) -> Effects:
        """What the run owes now; folded once a state."""
        if self._owed[0] is not self.state:
            self._owed = (self.state, owed(self.state))
        return self._owed[1]

    def _to_perform(self) -> Sequence[eff.Effect]:
        """What is owed by this drive and not by a person."""
        effects = self.owed()
        if self.state.phase is not DISPATCHING and self.state.phase is not AWAITING:
            return effects
        return [
            effect
            for effect in effects
            if not isinstance(effect, eff.AwaitDecision)
            and not (isinstance(effect, eff.AwaitRun) and effect.run_id in self.resting)
        ]

    async def _perform_in_time(self, effects: Sequence[eff.Effect]) -> None:
        state = self.state
        left_s = seconds_left(state.limits, state.started_at, self.now())
        with anyio.move_on_after(LAST_TURN_S if state.limit_reached else left_s) as scope:
            await anyio.lowlevel.checkpoint()  # where no time is left, nothing begins
            if len(effects) == 1:
                await self.perform(effects[0])
            else:
                await self._perform_beside_each_other(effects)
        if scope.cancelled_caught:
            await self._stop_at_time()

    async def _perform_beside_each_other(self, effects: Sequence[eff.Effect]) -> None:
        places = anyio.CapacityLimiter(MAX_PARALLEL_TOOLS)
        failures: list[Exception] = []
        self._appending = anyio.Lock()
        try:
            async with anyio.create_task_group() as tasks:
                for effect in effects:
                    tasks.start_soon(self._perform_beside, places, effect, failures)
        finally:
            self._appending = None
        if failures:  # raised once its siblings have their results
            raise failures[0]

    async def _perform_beside(
        self, places: anyio.CapacityLimiter, effect: eff.Effect, failures: list[Exception]
    ) -> None:
        try:
            async with places:
                await self.perform(effect)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not cost the siblings their results
            failures.append(error)

    def deadline(self, tool_call_id: str, timeout_s: float | None) -> "AbstractContextManager[object, bool]":
        """A block that is left when the time is up. A tool that runs alone borrows the drive's scope: a scope of its own
        is a tenth of what a run costs.
        """
        if timeout_s is None:
            return anyio.CancelScope()
        if self._appending is not None or self.scope is None:
            return anyio.move_on_after(timeout_s)
        return _Deadline(self, self.scope, tool_call_id, timeout_s)

    async def stop_late(self) -> None:
        """The deadline of a tool that ran alone is over: that is its result."""
        call = self.state.calls[self.late].call
        result = dispatch.timed_out(call, self.spec(call.name))
        await self.commit(ev.tool_back(result, at=self.now()))

    async def _stop_at_time(self) -> None:
        """The time is up: what is under way has no result, and the model gets its last turn."""
        why = "its time is up; this call was stopped"
        if self.state.phase is DISPATCHING:
            for effect in self.owed():
                if isinstance(effect, eff.AwaitRun):
                    await dispatch.stop_run(self, effect, why)
                elif isinstance(effect, eff.ExecuteTool):
                    call = self.state.calls[effect.tool_call_id].call
                    await self.commit(dispatch.over_limit(self, call, why))
        elif self.state.limit_reached:
            reason = "the last turn took too long as well"
            await self.commit(ev.RunFailed(at=self.now(), code="limit_reached", reason=reason))
        else:
            await self.commit(judging.at_limit(self.state.limits, "wall_time_s", self.now()))

    async def perform(self, effect: eff.Effect) -> None:
        """Perform one effect and journal what came back."""
        match effect:
            case eff.AskModel():
                await self._take_turn(effect)
            case eff.ExecuteTool():
                await dispatch.execute(self, effect)
            case eff.AwaitRun():
                await dispatch.await_run(self, effect)
            case eff.HydrateContext():
                await self._hydrate()
            case eff.StoreOutcome():
                await self.adapters.memory.remember(self.state)
                await self.commit(ev.OutcomeStored(at=self.now()))
            case eff.JudgeResults() | eff.CheckAnswer() if self.adapters.critic is not None:
                await self.commit(await judging.by_critic(self.adapters.critic, self.adapters, self.state))
            case eff.JudgeResults() | eff.CheckAnswer() | eff.ConcludeAtLimit():
                await self.commit()
            case eff.AwaitDecision():
                pass

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(self, *events: ev.Event) -> None:
        """Append `events` and the verdicts that follow from them without I/O, as one batch.

        Commands of people that arrived meanwhile are read in first; what they made stale is dropped.
        """
        if self._appending is None:
            await self._append(events)
            return
        async with self._appending:
            await self._append(events)

    async def keep(self, result: ev.Event) -> None:
        """Commit what has come back, even if the run's time is up while it is being written: the work was done."""
        if self.state.limits.wall_time_s is None:
            await self.commit(result)
            return
        with anyio.CancelScope(shield=True):
            await self.commit(result)

    async def _append(self, events: Sequence[ev.Event]) -> None:
        while True:
            before = self.state
            batch, states, effects = self._fold(events)
            if not batch:
                return
            try:
                await self.adapters.journal.append(before.run_id, before.seq, batch, writer=self.writer)
            except JournalConflictError:
                await self.read_commands()
                if self.state.seq == before.seq:
                    raise  # the journal is behind what it acknowledged: there is no way on
            else:
                self.state = states[-1]
                self._owed = (states[-1], effects)
                self.notify(batch, states)
                return

    def _fold(self, events: Sequence[ev.Event]) -> tuple[list[ev.Event], list[RunState], Effects]:
        """The events that count with the verdicts behind them, the state after each, and what the last one owes."""
        batch: list[ev.Event] = []
        states: list[RunState] = []
        state = self.state
        for event in events:
            try:
                state = evolve(state, event)
            except (StaleCompletionError, IllegalEventError):
                continue
            batch.append(event)
            states.append(state)
        effects = owed(state)
        while (verdict := judging.by_rule(self.adapters, state, effects)) is not None:
            state = evolve(state, verdict)
            effects = owed(state)
            batch.append(verdict)
            states.append(state)
        return batch, states, effects

    async def read_commands(self) -> None:
        """Take in what others appended. Anything but a command means that another runner drives this run.

        An event of this writer is one whose append was cut off after it was written.
        """
        await self.catch_up(commands_only=True)

    async def catch_up(self, *, commands_only: bool = False) -> None:
        """Take in what others appended, and tell the observers."""
        before = self.state.seq
        async for stored in self.adapters.journal.read(self.state.run_id, after=before):
            own = stored.writer == self.writer or isinstance(stored.event, ev.COMMANDS)
            if commands_only and not own:
                raise JournalConflictError(self.state.run_id, before, stored.seq)
            self.state = evolve(self.state, stored.event)
            for observer in self._observers:
                observer.on_event(stored, self.state)

    def notify(self, events: Sequence[ev.Event], states: Sequence[RunState]) -> None:
        """Tell the observers what is in the journal now, each event with the state that it led to."""
        if not self._observers:
            return
        for event, state in zip(events, states, strict=True):
            stored = StoredEvent(run_id=state.run_id, seq=state.seq, event=event, writer=self.writer)
            for observer in self._observers:
                observer.on_event(stored, state)

    # ── memory and the model ─────────────────────────────────────────────────────────────────────────────────────

    async def _hydrate(self) -> None:
        profile = self.adapters.model.profile
        request = HydrateRequest(
            run_id=self.state.run_id,
            session_id=self.state.session_id,
            input=self.state.messages[0],
            budget_tokens=profile.context_tokens - profile.reply_tokens,
            instructions=self.state.instructions,
        )
        messages = await self.adapters.memory.hydrate(request)
        await self.commit(ev.ContextHydrated(at=self.now(), messages=tuple(messages)))

    async def _take_turn(self, effect: eff.AskModel) -> None:
        state, profile = self.state, self.adapters.model.profile
        view = TurnView(
            messages=state.messages,
            offers=() if effect.final else await self._offers(),
            profile=profile,
            turn=effect.turn,
            instructions=state.instructions,
            answer_schema=state.answer_schema,
        )
        try:
            outcome = await self._outcome(TOOL_MODES[profile.tool_mode](view))
        except ModelRefusedError as error:
            await self.commit(ev.ModelFailed(at=self.now(), code="refused", reason=str(error)))
            return
        read = self.plan(outcome.message) if self.adapters.planning else None
        plan = read if isinstance(read, proposal.Proposal) else None
        await self.commit(
            outcome.event(self.now(), final=effect.final, plan=plan, answered_by=state.answered_by)
        )

    async def _outcome(self, turn: Turn) -> TurnOutcome:
        try:
            ask = next(turn)
            while True:
                ask = turn.send(await self._ask(ask.request, visible=ask.visible))
        except StopIteration as stop:
            outcome: TurnOutcome = stop.value
            return outcome

    async def _offers(self) -> Sequence[ToolOffer]:
        """The tools for this run's input, its sub-agents, and the tool `plan`."""
        adapters = self.adapters
        offers = await adapters.tools.specs(self.state.input.text if self.state.input else "")
        if adapters.agents:
            offers = (*offers, *[ToolOffer(spec=agent_spec(agent)) for agent in adapters.agents.values()])
        return proposal.with_plan(offers) if adapters.planning else offers

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of a tool or sub-agent, or None where there is none of that name."""
        agent = self.adapters.agents.get(name)
        return self.adapters.tools.spec(name) if agent is None else agent_spec(agent)

    def plan(self, message: Message) -> proposal.Proposal | str:
        """The plan that a message proposes, or what is wrong with it; empty: none."""
        if not self.adapters.planning:
            return ""
        return proposal.read(message, lambda name: self.spec(name) is not None, self.state.finished)

    async def _ask(self, request: ModelRequest, *, visible: bool) -> Completion:
        context = CallContext(session_id=self.state.session_id)
        stream = self.adapters.model.stream(replace(request, context=context))
        try:
            async for item in stream:
                if isinstance(item, Completion):
                    return item
                if visible:
                    for observer in self._observers:
                        observer.on_delta(self.state.run_id, item)
        finally:
            await stream.aclose()
        raise ModelUnavailableError(
            f"model {self.adapters.model.profile.name!r} ended its reply without completing it; resume the run"
        )


class _Deadline:
    """Ends a drive's scope when the time is up; `Drive.stop_late` then says what became of the call."""

    def __init__(self, drive: Drive, scope: anyio.CancelScope, tool_call_id: str, timeout_s: float) -> None:
        self._drive, self._scope = drive, scope
        self._tool_call_id, self._timeout_s = tool_call_id, timeout_s

    def __enter__(self) -> None:
        self._drive.late = self._tool_call_id
        self._scope.deadline = anyio.current_time() + self._timeout_s

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        if not self._scope.cancel_called:
            self._scope.deadline = inf
        return False
