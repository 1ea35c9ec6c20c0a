"""One activation of one run: performs what is owed through the ports and appends what came back.

Nothing counts until it is in the journal. Can be ended at any moment (cancelled, killed): the next activation takes up
what is owed then. `runner` is the public face.
"""

from collections.abc import Sequence
from contextlib import aclosing, suppress

import anyio
from msgspec.structs import replace

from agent_core import effects as eff
from agent_core import events as ev
from agent_core import judging, planning, proposal
from agent_core.adapters import Adapters
from agent_core.chat import Completion, ModelRequest
from agent_core.errors import (
    IllegalEventError,
    JournalConflictError,
    ModelRefusedError,
    ModelUnavailableError,
    StaleCompletionError,
)
from agent_core.limits import is_over_calls, seconds_left
from agent_core.messages import Message
from agent_core.policy import Verdict
from agent_core.ports import HydrateRequest, Observer, StoredEvent, ToolContext
from agent_core.state import Phase, RunState
from agent_core.tool_modes import TOOL_MODES, TurnOutcome, TurnView
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_core.transitions import evolve, owed

MAX_PARALLEL_TOOLS = 8
TIMED = frozenset({Phase.REASONING, Phase.DISPATCHING})
"""Phases that the run's time ends; the others are short, and lose what they did if they are cut."""
LAST_TURN_S = 60.0
"""How long the last turn may take once the run's time is up."""


class Drive:
    """One activation of one run: the state as far as this writer has seen the journal."""

    def __init__(
        self, adapters: Adapters, state: RunState, *, writer: str, observers: Sequence[Observer] = ()
    ) -> None:
        """`writer` is a name that no other drive has or had: by it, this one knows its own events again."""
        self.state = state
        self.writer = writer
        self._adapters = adapters
        self._observers = (*adapters.observers, *observers)
        self.scope = anyio.CancelScope()
        self.has_commands = False
        """True: a person's command is in the journal that this drive may not have read."""
        self._appending: anyio.Lock | None = None
        """Held while an event is appended, as long as several effects are performed at once."""

    async def until_rest(self) -> None:
        """Perform what is owed, until that is nothing but a person's decision."""
        await self._perform_all()
        while self.has_commands:
            self.has_commands = False
            await self.read_commands()
            await self._perform_all()

    async def _perform_all(self) -> None:
        while effects := [effect for effect in owed(self.state) if not isinstance(effect, eff.AwaitDecision)]:
            left_s = seconds_left(self.state.limits, self.state.started_at, self._now())
            if left_s is None or self.state.phase not in TIMED:
                await self._perform(effects)
                continue
            time_s = LAST_TURN_S if self.state.limit_reached else left_s
            with anyio.move_on_after(time_s) as scope:
                await anyio.lowlevel.checkpoint()  # where no time is left, nothing begins
                await self._perform(effects)
            if scope.cancelled_caught:
                await self._stop_at_time()

    async def _perform(self, effects: Sequence[eff.Effect]) -> None:
        if len(effects) == 1:
            await self.perform(effects[0])
            return
        places = anyio.CapacityLimiter(MAX_PARALLEL_TOOLS)
        self._appending = anyio.Lock()
        try:
            async with anyio.create_task_group() as tasks:
                for effect in effects:
                    tasks.start_soon(self._perform_in, places, effect)
        except ExceptionGroup as group:  # callers wait for the error itself, as from a single effect
            raise group.exceptions[0] from group
        finally:
            self._appending = None

    async def _stop_at_time(self) -> None:
        """The time is up: what is under way has no result, and the model gets its last turn."""
        if self.state.phase is Phase.DISPATCHING:
            for call in planning.ready(self.state.calls):
                await self.commit(self._over_limit(call.call, "its time is up; this call was stopped"))
        elif self.state.limit_reached:
            await self.commit(
                ev.RunFailed(
                    at=self._now(), code="limit_reached", reason="the last turn took too long as well"
                )
            )
        else:
            await self.commit(judging.at_limit(self.state.limits, "wall_time_s", self._now()))

    def _over_limit(self, call: ToolCall, why: str) -> ev.ToolFailed:
        content = f"The run is over a limit: {why}. Answer with what you have."
        result = ToolResult(tool_call_id=call.tool_call_id, content=content, error="limit_reached")
        return ev.ToolFailed(at=self._now(), result=result)

    async def _perform_in(self, places: anyio.CapacityLimiter, effect: eff.Effect) -> None:
        async with places:
            await self.perform(effect)

    async def perform(self, effect: eff.Effect) -> None:
        """Perform one effect and journal what came back."""
        match effect:
            case eff.HydrateContext():
                await self._hydrate()
            case eff.AskModel():
                await self._take_turn(effect)
            case eff.ExecuteTool():
                await self._execute(effect)
            case eff.StoreOutcome():
                await self._adapters.memory.remember(self.state)
                await self.commit(ev.OutcomeStored(at=self._now()))
            case eff.JudgeResults() | eff.CheckAnswer() if self._adapters.critic is not None:
                await self.commit(await judging.by_critic(self._adapters.critic, self._adapters, self.state))
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

    async def _append(self, events: Sequence[ev.Event]) -> None:
        while True:
            steps = self._fold(events)
            if not steps:
                return
            batch = [event for event, _ in steps]
            try:
                await self._adapters.journal.append(
                    self.state.run_id, self.state.seq, batch, writer=self.writer
                )
            except JournalConflictError:
                await self.read_commands()
            else:
                self.state = steps[-1][1]
                self.notify(steps)
                return

    def _fold(self, events: Sequence[ev.Event]) -> list[tuple[ev.Event, RunState]]:
        """Each event that counts, `events` and the verdicts behind them, with the state that it leads to."""
        steps: list[tuple[ev.Event, RunState]] = []
        state = self.state
        for event in events:
            with suppress(StaleCompletionError, IllegalEventError):
                state = evolve(state, event)
                steps.append((event, state))
        while (verdict := judging.by_rule(self._adapters, state)) is not None:
            state = evolve(state, verdict)
            steps.append((verdict, state))
        return steps

    async def read_commands(self) -> None:
        """Take in what others appended. Anything but a command means that another runner drives this run.

        An event of this writer is one whose append was cut off after it was written.
        """
        await self.catch_up(commands_only=True)

    async def catch_up(self, *, commands_only: bool = False) -> None:
        """Take in what others appended, and tell the observers."""
        before = self.state.seq
        async for stored in self._adapters.journal.read(self.state.run_id, after=before):
            own = stored.writer == self.writer or isinstance(stored.event, ev.COMMANDS)
            if commands_only and not own:
                raise JournalConflictError(self.state.run_id, before, stored.seq)
            self.state = evolve(self.state, stored.event)
            for observer in self._observers:
                observer.on_event(stored, self.state)

    def notify(self, steps: Sequence[tuple[ev.Event, RunState]]) -> None:
        """Tell the observers what is in the journal now, each event with the state that it led to."""
        for event, state in steps if self._observers else ():
            stored = StoredEvent(run_id=state.run_id, seq=state.seq, event=event, writer=self.writer)
            for observer in self._observers:
                observer.on_event(stored, state)

    def _now(self) -> float:
        return self._adapters.clock.now()

    # ── the effects ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _hydrate(self) -> None:
        profile = self._adapters.model.profile
        request = HydrateRequest(
            run_id=self.state.run_id,
            session_id=self.state.session_id,
            input=self.state.messages[0],
            budget_tokens=profile.context_tokens - profile.reply_tokens,
            instructions=self.state.instructions,
        )
        messages = await self._adapters.memory.hydrate(request)
        await self.commit(ev.ContextHydrated(at=self._now(), messages=tuple(messages)))

    async def _take_turn(self, effect: eff.AskModel) -> None:
        state, adapters = self.state, self._adapters
        query = state.input.text if state.input else ""
        offers = () if effect.final else await adapters.tools.specs(query)
        if adapters.planning:
            offers = proposal.with_plan(offers)
        view = TurnView(
            messages=state.messages,
            offers=offers,
            profile=adapters.model.profile,
            turn=effect.turn,
            instructions=state.instructions,
            answer_schema=state.answer_schema,
        )
        turn = TOOL_MODES[view.profile.tool_mode](view)
        try:
            ask = next(turn)
            while True:
                ask = turn.send(await self._ask(ask.request, visible=ask.visible))
        except StopIteration as stop:
            outcome: TurnOutcome = stop.value
            read = self._plan(outcome.message)
            plan = read if isinstance(read, proposal.Proposal) else None
            await self.commit(outcome.event(self._now(), final=effect.final, plan=plan))
        except ModelRefusedError as error:
            await self.commit(ev.ModelFailed(at=self._now(), code="refused", reason=str(error)))

    def _plan(self, message: Message) -> proposal.Proposal | str:
        """The plan that a message proposes, or what is wrong with it; empty: none."""
        if not self._adapters.planning:
            return ""
        return proposal.read(
            message, lambda name: self._adapters.tools.spec(name) is not None, self.state.finished
        )

    async def _ask(self, request: ModelRequest, *, visible: bool) -> Completion:
        async with aclosing(self._adapters.model.stream(request)) as stream:
            async for item in stream:
                if isinstance(item, Completion):
                    return item
                if visible:
                    for observer in self._observers:
                        observer.on_delta(self.state.run_id, item)
        raise ModelUnavailableError(
            f"model {self._adapters.model.profile.name!r} ended its reply without completing it; resume the run"
        )

    async def _execute(self, effect: eff.ExecuteTool) -> None:
        call = self.state.calls[effect.tool_call_id].call
        fault = self._fault(effect.tool_call_id)
        if fault is not None:
            await self.commit(fault)
            return
        spec = self._adapters.tools.spec(call.name)
        if spec is not None:
            refusal = self._refusal(effect, spec, call)
            if refusal is not None:
                await self.commit(refusal)
                return
            if not spec.idempotent:
                await self.commit(ev.ToolStarted(at=self._now(), tool_call_id=call.tool_call_id))
                if self.state.is_over:  # cancelled by another process meanwhile: the intent was not journaled
                    return
        result = await self._run_tool(call, effect)
        back = ev.ToolFailed if result.is_error else ev.ToolReturned
        await self.commit(back(at=self._now(), result=result))

    def _fault(self, tool_call_id: str) -> ev.ToolFailed | None:
        """Why a call of a plan, or one that proposes a plan, cannot be made; None: it can."""
        state = self.state.calls[tool_call_id]
        if state.unresolved:
            failed = planning.failed_call(state, "unresolved_reference", state.unresolved)
        elif self._adapters.planning and state.call.name == proposal.NAME:
            fault = self._plan(
                Message(role="assistant", parts=tuple(one.call for one in self.state.calls.values()))
            )
            reason = fault if isinstance(fault, str) else "The tools have changed; propose the plan again."
            failed = planning.failed_call(state, "invalid_plan", reason)
        else:
            return None
        return None if failed.result is None else ev.ToolFailed(at=self._now(), result=failed.result)

    def _refusal(self, effect: eff.ExecuteTool, spec: ToolSpec, call: ToolCall) -> ev.Event | None:
        """Why this call is not made now, as the event that says so; None lets it run."""
        place = list(self.state.calls).index(call.tool_call_id)
        if is_over_calls(self.state.limits, self.state.spent, len(self.state.calls), place):
            return self._over_limit(call, f"it may make {self.state.limits.tool_calls} tool calls")
        if effect.interrupted and not spec.idempotent:  # even if approved: that was for running it once
            reason = f"{call.name} began before the interruption and may have done its work; run it again?"
            return ev.ApprovalRequested(at=self._now(), tool_call_id=call.tool_call_id, reason=reason)
        if effect.approved or call.malformed:  # what is malformed is refused by the tools, and asks nobody
            return None
        decision = self._adapters.policy(self.state, spec, call)
        match decision.verdict:
            case Verdict.ALLOW:
                return None
            case Verdict.ASK:
                return ev.ApprovalRequested(
                    at=self._now(), tool_call_id=call.tool_call_id, reason=decision.reason
                )
            case Verdict.DENY:
                content = f"Policy denied this call: {decision.reason}"
                result = ToolResult(tool_call_id=call.tool_call_id, content=content, error="denied")
                return ev.ToolFailed(at=self._now(), result=result)

    async def _run_tool(self, call: ToolCall, effect: eff.ExecuteTool) -> ToolResult:
        context = ToolContext(
            run_id=self.state.run_id,
            session_id=self.state.session_id,
            idempotency_key=f"{self.state.run_id}/{self.state.spent.turns}/{call.tool_call_id}",
            attempt=effect.attempt,
            interrupted=effect.interrupted,
        )
        try:
            result = await self._adapters.tools.run(call, context)
            # A wrong id would be stale, and the tool called for ever.
            return replace(result, tool_call_id=call.tool_call_id)
        except Exception as error:  # noqa: BLE001  # a broken tool runner must not take its siblings' results along
            content = f"The tool crashed: {type(error).__name__}: {error}"
            return ToolResult(tool_call_id=call.tool_call_id, content=content, error="crashed")
