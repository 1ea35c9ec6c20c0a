"""The runner: performs what a run owes through the ports and appends what came back. The one async file.

Nothing counts until it is in the journal. `drive` loads a run, performs what `owed` says until the run waits for a
person or is over, and can be ended at any moment (cancelled, killed): the next `drive` takes up what is owed then.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from msgspec.structs import replace

from agent_core import effects as eff
from agent_core import events as ev
from agent_core import reflexion
from agent_core.chat import Completion, Delta, ModelRequest
from agent_core.errors import (
    IllegalEventError,
    JournalConflictError,
    ModelRefusedError,
    ModelUnavailableError,
    RunNotFoundError,
    StaleCompletionError,
)
from agent_core.feed import Feed
from agent_core.limits import Limits
from agent_core.messages import Message, user
from agent_core.policy import Policy, Verdict, ask_before_destroying
from agent_core.ports import (
    ChatModel,
    Clock,
    HydrateRequest,
    Ids,
    Journal,
    Memory,
    Observer,
    StoredEvent,
    ToolContext,
    ToolRunner,
)
from agent_core.state import RunState
from agent_core.system import SystemClock, SystemIds
from agent_core.tool_modes import TOOL_MODES, TurnOutcome, TurnView
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_core.transitions import evolve, owed

MAX_PARALLEL_TOOLS = 8


class Runner:
    """Drives runs over one set of ports. Holds no state of a run between two calls of `drive`."""

    def __init__(
        self,
        *,
        model: ChatModel,
        tools: ToolRunner,
        memory: Memory,
        journal: Journal,
        policy: Policy = ask_before_destroying,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self.model = model
        self.tools = tools
        self.memory = memory
        self.journal = journal
        self.policy = policy
        self.observers = observers
        self.clock = clock or SystemClock()
        self.ids = ids or SystemIds()
        self._driven: dict[str, set[_Drive]] = {}

    async def start(
        self,
        prompt: str | Message,
        *,
        session_id: str = "",
        instructions: str = "",
        limits: Limits | None = None,
        observers: Sequence[Observer] = (),
    ) -> str:
        """Journal a new run and return its id. Nothing is performed yet: see `drive`.

        Raises:
            JournalUnavailableError: the storage failed; there is no such run.
        """
        run_id = self.ids.new("run")
        event = ev.RunStarted(
            at=self.clock.now(),
            run_id=run_id,
            session_id=session_id or self.ids.new("session"),
            input=user(prompt) if isinstance(prompt, str) else prompt,
            model=self.model.profile.name,
            instructions=instructions,
            limits=limits or Limits(),
        )
        await _Drive(self, RunState(run_id=run_id), observers).commit(event)
        return run_id

    async def load(self, run_id: str) -> RunState:
        """The state of a run, folded from its journal.

        Raises:
            RunNotFoundError: the journal knows no such run.
        """
        state = RunState(run_id=run_id)
        async for stored in self.journal.read(run_id):
            state = evolve(state, stored.event)
        if state.seq == 0:
            raise RunNotFoundError(run_id)
        return state

    async def drive(self, run_id: str, *, observers: Sequence[Observer] = ()) -> RunState:
        """Perform what the run owes until it is over or waits for a person; returns the state it rests in.

        Raises:
            RunNotFoundError: the journal knows no such run.
            ModelError: the model cannot be asked now; the run stays as it is and can be driven again.
            JournalError: the storage failed, or another runner drives this run.
        """
        drive = _Drive(self, await self.load(run_id), observers)
        drives = self._driven.setdefault(run_id, set())
        drives.add(drive)
        try:
            with drive.scope:
                await drive.until_rest()
        finally:
            drives.discard(drive)
            if not drives:
                self._driven.pop(run_id, None)
        if drive.scope.cancelled_caught:
            await drive.read_commands()
        return drive.state

    async def run(
        self,
        prompt: str | Message,
        *,
        session_id: str = "",
        instructions: str = "",
        limits: Limits | None = None,
    ) -> RunState:
        """`start` and `drive` in one."""
        run_id = await self.start(prompt, session_id=session_id, instructions=instructions, limits=limits)
        return await self.drive(run_id)

    @asynccontextmanager
    async def stream(self, run_id: str) -> AsyncGenerator[AsyncIterator[StoredEvent | Delta]]:
        """Drive a run and iterate over what happens: every event once it is journaled, and the model's deltas.

        A slow reader loses deltas, never events. Leaving the block ends the drive; the run can be driven again.
        What ends the drive is raised at the end of the block: see `drive`.
        """
        feed = Feed()

        async def drive() -> None:
            try:
                await self.drive(run_id, observers=(feed,))
            except Exception as error:  # noqa: BLE001  # raised below, once the reader has what came before
                failures.append(error)
            finally:
                feed.close()

        failures: list[Exception] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drive)
            try:
                yield aiter(feed)
            except Exception as error:  # noqa: BLE001  # the reader's own, kept out of an exception group
                failures.insert(0, error)
            tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]

    async def send(self, run_id: str, command: ev.Event) -> RunState:
        """Append a person's command (approval, denial, input, cancellation); drive the run afterwards.

        A cancellation also ends a drive of this run in this process.

        Raises:
            RunNotFoundError: the journal knows no such run.
            IllegalEventError, StaleCompletionError: the run does not wait for this.
        """
        while True:
            drive = _Drive(self, await self.load(run_id))
            after = evolve(drive.state, command)
            try:
                await self.journal.append(run_id, drive.state.seq, (command,), writer=drive.writer)
            except JournalConflictError:
                continue  # the run moved on: look again whether the command still fits
            drives = self._driven.get(run_id, ())
            for live in drives:  # it reads the command and tells its observers
                live.has_commands = True
                if isinstance(command, ev.RunCancelled):
                    live.scope.cancel()
            if not drives:
                drive.notify((command,))
            return after

    async def cancel(self, run_id: str, *, by: str, reason: str = "") -> RunState:
        """End a run for good; its tools and its model are stopped."""
        return await self.send(run_id, ev.RunCancelled(at=self.clock.now(), by=by, reason=reason))


class _Drive:
    """One activation of one run: the state as far as this writer has seen the journal."""

    def __init__(self, runner: Runner, state: RunState, observers: Sequence[Observer] = ()) -> None:
        self.runner = runner
        self.state = state
        self.observers = (*runner.observers, *observers)
        self.writer = runner.ids.new("writer")
        self.scope = anyio.CancelScope()
        self.has_commands = False
        """True: a person's command is in the journal that this drive may not have read."""
        self._appending = anyio.Lock()

    async def until_rest(self) -> None:
        """Perform what is owed, until that is nothing but a person's decision."""
        await self._perform_all()
        while self.has_commands:
            self.has_commands = False
            await self.read_commands()
            await self._perform_all()

    async def _perform_all(self) -> None:
        while effects := [effect for effect in owed(self.state) if not isinstance(effect, eff.AwaitDecision)]:
            if len(effects) == 1:
                await self.perform(effects[0])
                continue
            places = anyio.CapacityLimiter(MAX_PARALLEL_TOOLS)
            try:
                async with anyio.create_task_group() as tasks:
                    for effect in effects:
                        tasks.start_soon(self._perform_in, places, effect)
            except ExceptionGroup as group:  # callers wait for the error itself, as from a single effect
                raise group.exceptions[0] from group

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
                await self.runner.memory.remember(self.state)
                await self.commit(ev.OutcomeStored(at=self._now()))
            case eff.JudgeResults() | eff.CheckAnswer() | eff.ConcludeAtLimit():
                await self.commit()
            case eff.AwaitDecision():
                pass

    # ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(self, *events: ev.Event) -> None:
        """Append `events` and the verdicts that follow from them without I/O, as one batch.

        Commands of people that arrived meanwhile are read in first; what they made stale is dropped.
        """
        async with self._appending:
            while True:
                batch, after = self._fold(events)
                if not batch:
                    return
                try:
                    await self.runner.journal.append(
                        self.state.run_id, self.state.seq, batch, writer=self.writer
                    )
                except JournalConflictError:
                    await self.read_commands()
                else:
                    self.notify(batch)
                    self.state = after
                    return

    def _fold(self, events: Sequence[ev.Event]) -> tuple[list[ev.Event], RunState]:
        batch: list[ev.Event] = []
        state = self.state
        for event in events:
            with suppress(StaleCompletionError, IllegalEventError):
                state = evolve(state, event)
                batch.append(event)
        while (verdict := self._verdict(state)) is not None:
            state = evolve(state, verdict)
            batch.append(verdict)
        return batch, state

    def _verdict(self, state: RunState) -> ev.Event | None:
        """What follows from the state alone."""
        match owed(state):
            case (eff.JudgeResults(),):
                return reflexion.judge_results(state, self._now())
            case (eff.CheckAnswer(),):
                return reflexion.check_answer(state, self._now())
            case (eff.ConcludeAtLimit(limit=limit),):
                return ev.LimitReached(at=self._now(), limit=limit)
            case _:
                return None

    async def read_commands(self) -> None:
        """Take in what others appended. Anything but a command means that another runner drives this run.

        An event of this writer is one whose append was cut off after it was written.
        """
        before = self.state.seq
        async for stored in self.runner.journal.read(self.state.run_id, after=before):
            if stored.writer != self.writer and not isinstance(stored.event, ev.COMMANDS):
                raise JournalConflictError(self.state.run_id, before, stored.seq)
            self.state = evolve(self.state, stored.event)
            for observer in self.observers:
                observer.on_event(stored, self.state)

    def notify(self, events: Sequence[ev.Event]) -> None:
        """Tell the observers what is in the journal now."""
        state = self.state
        for event in events if self.observers else ():
            state = evolve(state, event)
            stored = StoredEvent(run_id=state.run_id, seq=state.seq, event=event, writer=self.writer)
            for observer in self.observers:
                observer.on_event(stored, state)

    def _now(self) -> float:
        return self.runner.clock.now()

    # ── the effects ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _hydrate(self) -> None:
        profile = self.runner.model.profile
        request = HydrateRequest(
            run_id=self.state.run_id,
            session_id=self.state.session_id,
            input=self.state.messages[0],
            budget_tokens=profile.context_tokens - profile.reply_tokens,
        )
        messages = await self.runner.memory.hydrate(request)
        await self.commit(ev.ContextHydrated(at=self._now(), messages=tuple(messages)))

    async def _take_turn(self, effect: eff.AskModel) -> None:
        state, runner = self.state, self.runner
        query = state.input.text if state.input else ""
        offers = () if effect.final else await runner.tools.specs(query)
        view = TurnView(
            messages=state.messages,
            offers=offers,
            profile=runner.model.profile,
            turn=effect.turn,
            instructions=state.instructions,
        )
        turn = TOOL_MODES[view.profile.tool_mode](view)
        try:
            ask = next(turn)
            while True:
                ask = turn.send(await self._ask(ask.request, visible=ask.visible))
        except StopIteration as stop:
            outcome: TurnOutcome = stop.value
            await self.commit(_turn_event(outcome, self._now(), final=effect.final))
        except ModelRefusedError as error:
            await self.commit(ev.ModelFailed(at=self._now(), code="refused", reason=str(error)))

    async def _ask(self, request: ModelRequest, *, visible: bool) -> Completion:
        stream = self.runner.model.stream(request)
        try:
            async for item in stream:
                if isinstance(item, Completion):
                    return item
                if visible:
                    for observer in self.observers:
                        observer.on_delta(self.state.run_id, item)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()  # now, not when it is collected
        raise ModelUnavailableError(
            f"model {self.runner.model.profile.name!r} ended its reply without completing it; resume the run"
        )

    async def _execute(self, effect: eff.ExecuteTool) -> None:
        call = self.state.calls[effect.tool_call_id].call
        spec = self.runner.tools.spec(call.name)
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

    def _refusal(self, effect: eff.ExecuteTool, spec: ToolSpec, call: ToolCall) -> ev.Event | None:
        """Why this call is not made now, as the event that says so; None lets it run."""
        if (
            effect.interrupted and not spec.idempotent
        ):  # even if it was approved: that was for running it once
            reason = (
                f"{call.name} began before the run was interrupted and may have done its work; run it again?"
            )
            return ev.ApprovalRequested(at=self._now(), tool_call_id=call.tool_call_id, reason=reason)
        if effect.approved:
            return None
        decision = self.runner.policy(self.state, spec, call)
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
            result = await self.runner.tools.run(call, context)
            return replace(
                result, tool_call_id=call.tool_call_id
            )  # a wrong id would be stale: called for ever
        except Exception as error:  # noqa: BLE001  # a broken tool runner must not take its siblings' results along
            content = f"The tool crashed: {type(error).__name__}: {error}"
            return ToolResult(tool_call_id=call.tool_call_id, content=content, error="crashed")


def _turn_event(outcome: TurnOutcome, at: float, *, final: bool) -> ev.Event:
    message, calls = outcome.message, outcome.message.tool_calls
    if calls and final:  # offered no tools, it called one all the same: its words are the answer
        parts = tuple(part for part in message.parts if not isinstance(part, ToolCall))
        message = Message(role=message.role, parts=parts)
    if final or not calls:
        return ev.ModelAnswered(
            at=at,
            message=message,
            model=outcome.model,
            usage=outcome.usage,
            finish_reason=outcome.finish_reason,
        )
    if outcome.after is not None:
        return ev.PlanProposed(
            at=at, message=message, model=outcome.model, usage=outcome.usage, after=outcome.after
        )
    return ev.ToolsCalled(at=at, message=message, model=outcome.model, usage=outcome.usage)
