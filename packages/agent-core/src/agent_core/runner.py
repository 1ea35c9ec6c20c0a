"""The runner: starts runs, drives them, sends them the commands of people, shows what happens. `drive` does the work."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count

import anyio
from msgspec.structs import replace

from agent_core import deciding, dispatch, forking, loading
from agent_core import events as ev
from agent_core.adapters import Adapters
from agent_core.agents import Forgetful, SubAgent, by_name
from agent_core.chat import Delta
from agent_core.divergence import Divergence
from agent_core.drive import Drive
from agent_core.errors import ConfigurationError, IllegalEventError, JournalConflictError, RunNotFoundError
from agent_core.feed import Feed
from agent_core.json_types import JsonObject
from agent_core.limits import Limits
from agent_core.messages import Message, user
from agent_core.policy import Policy, Rules
from agent_core.ports import (
    ChatModel,
    Clock,
    Critic,
    Ids,
    Journal,
    Memory,
    Observer,
    Snapshots,
    StoredEvent,
    ToolRunner,
)
from agent_core.reflexion import DEFAULT, AnswerCheck, Reflexion
from agent_core.sessions import SessionOrder, own_session
from agent_core.state import RunState
from agent_core.system import SystemClock, SystemIds
from agent_core.transitions import evolve


class Runner:
    """Drives runs over one set of ports. Holds no state of a run between two calls of `drive`."""

    def __init__(
        self,
        *,
        model: ChatModel,
        tools: ToolRunner,
        memory: Memory,
        journal: Journal,
        policy: Policy | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        ids: Ids | None = None,
        planning: bool = False,
        reflexion: Reflexion = DEFAULT,
        escalate: bool = True,
        critic: Critic | None = None,
        answer_check: AnswerCheck | None = None,
        agents: Sequence[SubAgent] = (),
        snapshots: Snapshots | None = None,
    ) -> None:
        """Bring the ports together. With `planning` the model is offered the tool `plan` (see `proposal`). `reflexion` says how strictly results and
        answers are looked at, `escalate` whether a person can be asked about a result; else the run ends with a last
        turn. A `critic` looks at what the rules let pass. `answer_check` holds answers against the schema of their run;
        without it they must only be JSON. `agents` are offered to the model as tools (see `agents`). With `snapshots`
        (a journal may be both) a long run is not folded from its first event each time.

        Raises:
            ConfigurationError: two sub-agents have the same name.
        """
        self.adapters: Adapters = Adapters(
            model=model,
            tools=tools,
            memory=memory,
            journal=journal,
            policy=policy or Rules(),
            clock=clock or SystemClock(),
            ids=ids or SystemIds(),
            observers=observers,
            planning=planning,
            reflexion=reflexion,
            escalate=escalate,
            critic=critic,
            answer_check=answer_check,
            agents=by_name(agents),
            snapshots=snapshots,
            delegation=self,
        )
        self._driven: dict[str, tuple[Drive, ...]] = {}
        self._name = self.adapters.ids.new("writer")
        self._drives = count(1)
        self._sessions = SessionOrder()

    def _drive(
        self, state: RunState, observers: Sequence[Observer] = (), adapters: Adapters | None = None
    ) -> Drive:
        writer = f"{self._name}.{next(self._drives)}"
        return Drive(adapters or self.adapters, state, writer=writer, observers=observers)

    def now(self) -> float:
        """The time by this runner's clock, for the commands of people; seconds since the epoch."""
        return self.adapters.clock.now()

    async def start(
        self,
        prompt: str | Message,
        *,
        session_id: str = "",
        instructions: str = "",
        limits: Limits | None = None,
        answer_schema: JsonObject | None = None,
        observers: Sequence[Observer] = (),
        run_id: str = "",
    ) -> str:
        """Journal a new run and return its id. Nothing is performed yet: see `drive`.

        With an `answer_schema` (JSON schema, draft 2020-12) the answer is JSON that fits it, or the run fails. `run_id` is its id,
        where the caller has made one that is new.

        Raises:
            JournalConflictError: there is a run of that id.
            JournalUnavailableError: the storage failed; there is no such run.
        """
        drive = await self._started(
            prompt, session_id, instructions, limits, answer_schema, observers=observers, run_id=run_id
        )
        return drive.state.run_id

    async def _started(
        self,
        prompt: str | Message,
        session_id: str,
        instructions: str,
        limits: Limits | None,
        answer_schema: JsonObject | None,
        *,
        observers: Sequence[Observer] = (),
        run_id: str = "",
    ) -> Drive:
        run_id = run_id or self.adapters.ids.new("run")
        event = ev.RunStarted(
            at=self.adapters.clock.now(),
            run_id=run_id,
            session_id=session_id or own_session(run_id),
            input=user(prompt) if isinstance(prompt, str) else prompt,
            model=self.adapters.model.profile.name,
            instructions=instructions,
            limits=limits or DEFAULT_LIMITS,
            answer_schema=answer_schema,
        )
        drive = self._drive(RunState(run_id=run_id), observers)
        await drive.commit(event)
        return drive

    async def load(self, run_id: str) -> RunState:
        """The state of a run, folded from its journal.

        Raises:
            RunNotFoundError: the journal knows no such run.
        """
        return await loading.load(self.adapters, run_id)

    async def drive(
        self, run_id: str, *, observers: Sequence[Observer] = (), state: RunState | None = None
    ) -> RunState:
        """Perform what the run owes until it is over or waits for a person; returns the state it rests in.

        Runs of one session are driven one at a time, in the order in which they were asked for; a run that waits for
        a person holds up nobody. Who has just seen the run's `state` may give it, and the journal is not read first.

        Raises:
            RunNotFoundError: the journal knows no such run.
            ModelError: the model cannot be asked now; the run stays as it is and can be driven again.
            JournalError: the storage failed, or another runner drives this run.
        """
        if state is None:
            state = await self.load(run_id)
        return await self._driven_to_rest(self._drive(state, observers, self._adapters_of(state)))

    async def _driven_to_rest(self, drive: Drive) -> RunState:
        run_id, session_id = drive.state.run_id, drive.state.session_id
        before = drive.state.seq
        self._driven[run_id] = (*self._driven.get(run_id, ()), drive)
        try:
            waits = not self._sessions.enter(session_id)
            if waits:
                with anyio.CancelScope() as drive.scope:
                    await self._sessions.wait(session_id)
                if drive.scope.cancelled_caught:  # its turn never came
                    await drive.catch_up()
                    return drive.state
            await self._in_turn(drive, session_id, waited=waits)
        finally:
            drives = self._driven.pop(run_id)
            if len(drives) > 1:
                self._driven[run_id] = tuple([one for one in drives if one is not drive])
        if self.adapters.snapshots is not None:
            await loading.keep(self.adapters.snapshots, drive.state, before)
        return drive.state

    async def _in_turn(self, drive: Drive, session_id: str, *, waited: bool) -> None:
        try:
            if waited:
                await drive.catch_up()
            while not drive.is_cancelled:
                with anyio.CancelScope() as drive.scope:
                    await drive.until_rest()
                if not drive.scope.cancelled_caught:
                    return
                if not drive.is_cancelled:
                    await drive.stop_late()
            await drive.read_commands()
        finally:
            self._sessions.leave(session_id)

    async def run(
        self,
        prompt: str | Message,
        *,
        session_id: str = "",
        instructions: str = "",
        limits: Limits | None = None,
        answer_schema: JsonObject | None = None,
    ) -> RunState:
        """`start` and `drive` in one."""
        drive = await self._started(prompt, session_id, instructions, limits, answer_schema)
        return await self._driven_to_rest(drive)

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

    async def send(self, run_id: str, command: ev.Event, *, seen: int | None = None) -> RunState:
        """Append a person's command (approval, denial, input, cancellation); drive the run afterwards.

        A cancellation also ends a drive of this run in this process. `seen`: the `seq` of the state that the person saw;
        None: that in which a call of this id was asked about first.

        Raises:
            RunNotFoundError: the journal knows no such run.
            IllegalEventError, StaleCompletionError: the run does not wait for this.
            QuestionUnseenError: it waits for something that was asked after `seen`.
        """
        if not isinstance(command, ev.COMMANDS):
            raise IllegalEventError("a person's command", ev.event_type(command))
        while True:
            state = await self.load(run_id)
            drive = self._drive(state, adapters=self._adapters_of(state))
            after = evolve(state, command)
            await deciding.check_seen(self.adapters.journal, run_id, command, seen)
            if isinstance(command, ev.RunCancelled):
                # Its delegated runs first: a crash in between loses nothing.
                for started in dispatch.revocations(drive):
                    await self.revoke(started, by=command.by, reason=command.reason)
            try:
                await self.adapters.journal.append(run_id, state.seq, (command,), writer=drive.writer)
            except JournalConflictError:
                continue  # the run moved on: look again whether the command still fits
            drives = self._driven.get(run_id, ())
            for live in drives:  # it reads the command and tells its observers
                live.has_commands = True
                if isinstance(command, ev.RunCancelled) and live.scope is not None:
                    live.is_cancelled = True
                    live.scope.cancel()
            if not drives:
                drive.notify([command], [after])
            if self.adapters.snapshots is not None:
                await loading.keep(self.adapters.snapshots, after, state.seq)
            return after

    async def fork(
        self,
        run_id: str,
        at_seq: int,
        *,
        prompt: str | Message | None = None,
        then: Sequence[ev.Event] = (),
        new_id: str = "",
    ) -> str:
        """A new run that begins with the first `at_seq` events of another; drive it as any other.

        Another model: drive the fork with another runner. Another result: fork before it and give it in `then`.

        Args:
            run_id: The run to fork; it is left as it is.
            at_seq: The number of the last event that both share.
            prompt: Another input in the first event.
            then: Events to follow, as far as the phase allows them.
            new_id: Its id, where the caller has made one that is new.

        Raises:
            RunNotFoundError: the run has no event of that number.
            JournalConflictError: there is a run of the new id.
            ConfigurationError: another prompt where the model has read the first one.
            IllegalEventError, StaleCompletionError: `then` does not fit; nothing was written.
        """
        new_id = new_id or self.adapters.ids.new("run")
        await forking.fork(
            self.adapters.journal,
            run_id,
            at_seq,
            new_id,
            prompt=prompt,
            then=then,
            writer=self._name,
            at=self.now(),
        )
        return new_id

    async def diverge(self, run_id: str, other_id: str) -> Divergence:
        """Where two runs part.

        Raises:
            RunNotFoundError: the journal does not know one of them.
        """
        return await forking.diverge(self.adapters.journal, run_id, other_id)

    async def cancel(self, run_id: str, *, by: str, reason: str = "") -> RunState:
        """End a run for good; its tools and its model are stopped."""
        return await self.send(run_id, ev.RunCancelled(at=self.now(), by=by, reason=reason))

    # ── sub-agents ───────────────────────────────────────────────────────────────────────────────────────────────

    def _adapters_of(self, state: RunState) -> Adapters:
        """What a run is driven with: what this runner was given, or what its sub-agent has of its own."""
        adapters = self.adapters
        for name in state.agent.split("/") if state.agent else ():
            agent = adapters.agents.get(name)
            if agent is None:
                raise ConfigurationError(
                    f"run {state.run_id} is of the sub-agent {state.agent!r}, and this runner has none of that name"
                )
            adapters = replace(
                adapters,
                model=agent.model or adapters.model,
                tools=agent.tools or adapters.tools,
                memory=agent.memory or NO_MEMORY,
                agents=by_name(agent.agents),
            )
        return adapters

    async def perform(self, started: ev.RunStarted) -> RunState:
        """Drive a delegated run until it is over or waits for a person; start it if nobody has."""
        run_id = started.run_id
        try:
            return await self.drive(run_id)
        except RunNotFoundError:
            state = RunState(run_id=run_id)
            drive = self._drive(state, adapters=self._adapters_of(evolve(state, started)))
            await drive.commit(started)
            return await self._driven_to_rest(drive)

    async def revoke(self, started: ev.RunStarted, *, by: str, reason: str) -> RunState:
        """Cancel a delegated run if it is not over; one that does not exist is journaled as cancelled.

        One that another run delegated is left alone: a fork waits for what the run that it was copied from began.
        """
        cancelled = ev.RunCancelled(at=self.now(), by=by, reason=reason)
        try:
            state = await self.load(started.run_id)
            is_own = state.parent_id == started.parent_id
            return await self.send(started.run_id, cancelled) if is_own and not state.is_over else state
        except RunNotFoundError:
            with suppress(JournalConflictError):  # it began meanwhile
                events = (started, cancelled)
                await self.adapters.journal.append(started.run_id, 0, events, writer=self._name)
                return await self.load(started.run_id)
        except IllegalEventError:  # it ended meanwhile
            return await self.load(started.run_id)
        return await self.revoke(started, by=by, reason=reason)


DEFAULT_LIMITS = Limits()
NO_MEMORY = Forgetful()
