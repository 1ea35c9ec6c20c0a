"""One activation of one run: performs what is owed through the ports and appends what came back.

Nothing counts until it is in the journal. Can be ended at any moment (cancelled, killed): the next activation takes up
what is owed then. `runner` is the public face, `dispatch` what becomes of a tool call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
from msgspec.structs import replace

from agent_core import dispatch, found_tools, judging, proposal
from agent_core import effects as eff
from agent_core import events as ev
from agent_core.adapters import Adapters
from agent_core.agents import spec as agent_spec
from agent_core.attempt import timed_out
from agent_core.chat import CallContext, Completion
from agent_core.errors import (
    IllegalEventError,
    JournalConflictError,
    ModelRefusedError,
    ModelUnavailableError,
    StaleCompletionError,
)
from agent_core.inner_calls import InnerMade
from agent_core.limits import seconds_left
from agent_core.messages import Message
from agent_core.ports import HydrateRequest, Observer, StoredEvent
from agent_core.sessions import own_session
from agent_core.state import AWAITING, DISPATCHING, REASONING, RunState
from agent_core.tool_modes import TOOL_MODES, Ask, TurnOutcome, TurnView
from agent_core.tools import ToolOffer, ToolSpec
from agent_core.transitions import OWED, Effects, evolve, owed

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
        "adapters",
        "has_commands",
        "inner_calls",
        "is_cancelled",
        "late",
        "made_within",
        "now",
        "owed",
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
        self.owed: Effects = owed(state)
        """What the state owes."""
        self.writer: str = writer
        self.adapters: Adapters = adapters
        self._observers = (*adapters.observers, *observers)
        self.scope: anyio.CancelScope | None = None
        """What a cancellation in this process ends, and the deadline of a tool that runs alone; there while driven."""
        self.is_cancelled: bool = False
        """True: a person cancelled the run in this process."""
        self.late: str = ""
        """The call whose deadline is that of `scope`; empty: none, or it has a result."""
        self.has_commands: bool = False
        """True: a person's command is in the journal that this drive may not have read."""
        self.resting: tuple[str, ...] = ()  # the delegated runs that wait for a person
        self.now: Callable[[], float] = adapters.clock.now  # seconds since the epoch
        self.inner_calls: int = 0
        """How many calls the tools that are under way have made of others, which the journal does not hold yet."""
        self.made_within: InnerMade = []
        self._appending: anyio.Lock | None = None
        """Held while an event is appended, as long as several effects are performed at once."""

    async def until_rest(self) -> None:
        """Perform what is owed, until that is nothing but a person's decision."""
        while True:
            state, effects = self.state, self.owed
            if len(effects) > 1 or state.phase is AWAITING or self.resting:
                effects = self._own_part()
            if not effects:
                if not self.has_commands:
                    return
                self.has_commands = False
                await self.read_commands()
            elif state.limits.wall_time_s is not None and state.phase in TIMED:
                await self._perform_in_time(effects)
            elif len(effects) == 1:
                await self.perform(effects[0])
            else:
                await self._perform_beside_each_other(effects, [])

    def _own_part(self) -> Effects:
        """What is owed by this drive and not by a person."""
        return tuple(
            [
                effect
                for effect in self.owed
                if not isinstance(effect, eff.AwaitDecision)
                and not (isinstance(effect, eff.AwaitRun) and effect.run_id in self.resting)
            ]
        )

    async def _perform_in_time(self, effects: Sequence[eff.Effect]) -> None:
        state = self.state
        failures: list[Exception] = []
        left_s = seconds_left(state.limits, state.started_at, self.now())
        with anyio.move_on_after(LAST_TURN_S if state.limit_reached else left_s) as scope:
            await anyio.lowlevel.checkpoint()  # where no time is left, nothing begins
            if len(effects) == 1:
                await self.perform(effects[0])
            else:
                await self._perform_beside_each_other(effects, failures)
        if scope.cancelled_caught:
            if failures:  # such as that of a result which could not be kept: it must not pass for a call that was stopped
                raise failures[0]
            await self._stop_at_time()

    async def _perform_beside_each_other(
        self, effects: Sequence[eff.Effect], failures: list[Exception]
    ) -> None:
        """Add what goes wrong to `failures`, and raise the first of them once its siblings have their results."""
        places = anyio.CapacityLimiter(MAX_PARALLEL_TOOLS)
        self._appending = anyio.Lock()
        try:
            async with anyio.create_task_group() as tasks:
                for effect in effects:
                    tasks.start_soon(self._perform_beside, places, effect, failures)
        finally:
            self._appending = None
        if failures:
            raise failures[0]

    async def _perform_beside(
        self, places: "anyio.CapacityLimiter", effect: eff.Effect, failures: list[Exception]
    ) -> None:
        try:
            async with places:
                await self.perform(effect)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not cost the siblings their results
            failures.append(error)

    def lone_scope(self, tool_call_id: str) -> "anyio.CancelScope | None":
        """The scope whose deadline may be that of a tool: the drive's own, if the tool runs alone."""
        if self._appending is not None:
            return None
        self.late = tool_call_id
        return self.scope

    async def stop_late(self) -> None:
        """The deadline of a tool that ran alone is over: that is its result, if it has none."""
        if not self.late:
            return
        call = self.state.calls[self.late].call
        result = timed_out(call, self.spec(call.name))
        await self.commit(ev.tool_back(result, at=self.now()))

    async def _stop_at_time(self) -> None:
        """The time is up: what is under way has no result, and the model gets its last turn."""
        why = "its time is up; this call was stopped"
        if self.state.phase is DISPATCHING:
            for effect in self.owed:
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

    def perform(self, effect: eff.Effect) -> Awaitable[None]:
        """Perform one effect and journal what came back."""
        return _PERFORMED[type(effect)](self, effect)

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(self, event: ev.Event | None = None) -> None:
        """Append `event` and the verdicts that follow from it without I/O, as one batch.

        Commands of people that arrived meanwhile are read in first; what they made stale is dropped.
        """
        appending = self._appending
        if appending is not None:
            await appending.acquire()
        try:
            while True:
                before = self.state
                batch, states, effects = self._fold(event)
                if not batch:
                    return
                try:
                    await self.adapters.journal.append(before.run_id, before.seq, batch, writer=self.writer)
                    break
                except JournalConflictError:
                    await self.read_commands()
                    if self.state.seq == before.seq:
                        raise  # the journal is behind what it acknowledged: there is no way on
            self.state, self.owed = states[-1], effects
            self.notify(batch, states)
        finally:
            if appending is not None:
                appending.release()

    def keep(self, result: ev.Event) -> Awaitable[None]:
        """Commit what has come back, even if the time of the run or of the tool is up meanwhile: the work was done."""
        is_stopped = self.scope is not None and self.scope.cancel_called
        if not is_stopped and self.state.limits.wall_time_s is None:
            return self.commit(result)
        return self._commit_shielded(result)

    async def _commit_shielded(self, event: ev.Event) -> None:
        with anyio.CancelScope(shield=True):
            await self.commit(event)
        self.late = ""
        await anyio.lowlevel.checkpoint_if_cancelled()  # nothing else begins in a scope that is over

    def _fold(self, event: ev.Event | None) -> tuple[list[ev.Event], list[RunState], Effects]:
        """The events that count: this one with the verdicts behind it; the state after each; what the last one owes."""
        batch: list[ev.Event] = []
        states: list[RunState] = []
        state = self.state
        if event is not None:
            try:
                state = evolve(state, event)
            except (StaleCompletionError, IllegalEventError):
                pass
            else:
                batch.append(event)
                states.append(state)
        while True:
            effects = OWED[state.phase](state)  # `owed`, without its call
            by_rule = judging.BY_RULE.get(state.phase)
            verdict = None if by_rule is None else by_rule(self.adapters, state, effects)
            if verdict is None:
                return batch, states, effects
            state = evolve(state, verdict)
            batch.append(verdict)
            states.append(state)

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
            self.owed = owed(self.state)
            for observer in self._observers:
                observer.on_event(stored, self.state)

    def notify(self, events: Sequence[ev.Event], states: Sequence[RunState]) -> None:
        """Tell the observers what is in the journal now, each event with the state that it led to."""
        if not self._observers:
            return
        for place, event in enumerate(events):  # `zip` alone costs as much as telling one observer
            state = states[place]
            stored = StoredEvent(run_id=state.run_id, seq=state.seq, event=event, writer=self.writer)
            for observer in self._observers:
                observer.on_event(stored, state)

    # ── memory, the critic and the model ─────────────────────────────────────────────────────────────────────────

    async def hydrate(self, _: eff.HydrateContext) -> None:
        """Ask memory."""
        profile = self.adapters.model.profile
        request = HydrateRequest(
            run_id=self.state.run_id,
            session_id=self.state.session_id,
            input=self.state.messages[0],
            budget_tokens=profile.context_tokens - profile.reply_tokens,
            instructions=self.state.instructions,
            is_first=self.state.session_id == own_session(self.state.run_id),
        )
        messages = await self.adapters.memory.hydrate(request)
        await self.commit(ev.ContextHydrated(at=self.now(), messages=tuple(messages)))

    async def remember(self, _: eff.StoreOutcome) -> None:
        """Tell memory."""
        await self.adapters.memory.remember(self.state)
        await self.commit(ev.OutcomeStored(at=self.now()))

    async def judge(self, _: eff.Effect) -> None:
        """Give the verdict that is owed: by rule, and where there is a critic by asking it."""
        critic = self.adapters.critic
        await self.commit(
            None if critic is None else await judging.by_critic(critic, self.adapters, self.state)
        )

    async def conclude(self, _: eff.Effect) -> None:
        """Journal what follows by rule."""
        await self.commit()

    async def take_turn(self, effect: eff.AskModel) -> None:
        """Ask the model, as often as its tool mode wants."""
        state, profile = self.state, self.adapters.model.profile
        offers: Sequence[ToolOffer] = ()
        if not effect.final:
            query = state.input.text if state.input else ""
            tools = self.adapters.tools
            offers = found_tools.with_found(await tools.specs(query), state.messages, tools.spec)
            if self.adapters.agents or self.adapters.planning:
                offers = self._with_own(offers)
        view = TurnView(
            messages=state.messages,
            offers=offers,
            profile=profile,
            turn=effect.turn,
            instructions=state.instructions,
            answer_schema=state.answer_schema,
        )
        turn = TOOL_MODES[profile.tool_mode](view)
        try:
            ask = next(turn)
            while True:
                ask = turn.send(await self._ask(ask))
        except StopIteration as stop:
            outcome: TurnOutcome = stop.value
        except ModelRefusedError as error:
            await self.commit(ev.ModelFailed(at=self.now(), code="refused", reason=str(error)))
            return
        message = outcome.message  # type: ignore[possibly-undefined]  # the loop has no other end
        read = self.plan(message)
        plan = None if isinstance(read, str) else read
        await self.commit(
            outcome.event(self.now(), final=effect.final, plan=plan, answered_by=state.answered_by)
        )

    def _with_own(self, offers: Sequence[ToolOffer]) -> Sequence[ToolOffer]:
        """The offered tools, and behind them the sub-agents and the tool `plan`."""
        adapters = self.adapters
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

    async def _ask(self, ask: Ask) -> Completion:
        context = CallContext(session_id=self.state.session_id)
        stream = self.adapters.model.stream(replace(ask.request, context=context))
        try:
            async for item in stream:
                if isinstance(item, Completion):
                    return item
                if ask.visible:
                    for observer in self._observers:
                        observer.on_delta(self.state.run_id, item)
        finally:
            await stream.aclose()
        raise ModelUnavailableError(
            f"model {self.adapters.model.profile.name!r} ended its reply without completing it; resume the run"
        )


_PERFORMED: Mapping[type[eff.Effect], Callable[[Drive, Any], Awaitable[None]]] = {
    eff.AskModel: Drive.take_turn,
    eff.ExecuteTool: dispatch.execute,
    eff.HydrateContext: Drive.hydrate,
    eff.StoreOutcome: Drive.remember,
    eff.AwaitRun: dispatch.await_run,
    eff.JudgeResults: Drive.judge,
    eff.CheckAnswer: Drive.judge,
    eff.ConcludeAtLimit: Drive.conclude,
    eff.AwaitDecision: Drive.conclude,
}
"""How each effect is performed."""
