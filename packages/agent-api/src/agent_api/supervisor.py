"""The daemon's runs: started, driven and resumed here. A run belongs to the daemon, never to a connection."""

import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup

from agent_api.access.attempt import ONLY, Attempt
from agent_api.broadcast import Broadcast
from agent_api.composition import Agent
from agent_api.errors import RunBusyError, SessionBusyError, TooManyRunsError
from agent_api.imports import Imports
from agent_api.ingests import Ingests
from agent_api.spoken import Spoken
from agent_api.wire.runs import ForkRun, NewRun, RunView, run_view
from agent_core import events as ev
from agent_core.chat import Delta
from agent_core.errors import AgentError, ProtocolError, RunNotFoundError
from agent_core.messages import Message
from agent_core.ports import Observer, StoredEvent
from agent_core.state import Phase, RunState

logger = logging.getLogger("agentd")

RESUME_AT_MOST = 1_000
RETRY_AFTER_S = (5.0, 15.0, 60.0, 300.0)
"""When a run is taken up again whose model or journal could not be used; after that it waits for somebody."""
INTERRUPTED_AT_MOST = 1_000
"""Of so many interrupted runs it is known why they are, and when they are taken up again; of those before, the next start does."""
LIST_AT_MOST = 10_000
"""How far back lists go."""


class Capacity:
    """How many runs the daemon drives at once, over all tenants."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.waiting: deque[Callable[[], None]] = deque()
        """What is begun, one after the other, as places become free."""

    @property
    def is_used_up(self) -> bool:
        """Whether no more can be taken on."""
        return self.taken >= self.limit

    def take(self) -> None:
        """Take a place."""
        self.taken += 1

    def release(self) -> None:
        """Give a place back, to who waits longest."""
        self.taken -= 1
        if self.waiting and not self.is_used_up:
            self.waiting.popleft()()


class _Interruption(msgspec.Struct, frozen=True, eq=False):
    """Why a run is interrupted."""

    reason: str
    tries: int
    """How often it was taken up again by itself since a person or a start did."""


class _Latest:
    """Keeps the state of a run that begins."""

    state: RunState

    def on_event(self, stored: StoredEvent, state: RunState) -> None:  # noqa: ARG002  # the port's signature
        self.state = state

    def on_delta(self, run_id: str, delta: Delta) -> None:
        """There are none before a run is driven."""


class Supervisor:
    """Drives runs in the task group it is given; what it raises never ends that group."""

    def __init__(
        self,
        agent: Agent,
        tasks: TaskGroup,
        *,
        capacity: Capacity | None = None,
        observers: Sequence[Observer] = (),
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
    ) -> None:
        self.agent = agent
        self._retry_after_s = retry_after_s
        self.capacity = capacity or Capacity(agent.settings.max_runs)
        self._observers = observers
        self.broadcast = Broadcast()
        self.spoken = Spoken()
        self.ingests = Ingests(agent.knowledge, tasks)
        self.imports = Imports(agent, tasks)
        self.erasing: set[str] = set()
        """Sessions in which nothing may begin at this moment."""
        self.before_drive: list[Callable[[str], None]] = []
        """Each is called with a run's id before it is driven: who begins to listen there hears everything."""
        self._tasks = tasks
        self._interrupted: dict[str, _Interruption] = {}

    async def submit(
        self,
        new: NewRun,
        *,
        message: Message | None = None,
        on_named: Callable[[str], None] = lambda _: None,
        attempt: Attempt = ONLY,
    ) -> RunView:
        """Journal a new run and drive it in the background. `message` is its input, where that is more than a prompt.

        `on_named` is told its id before there is the run; what it raises keeps the run from beginning.

        An attempt that is not the first finds the run of the one before, if it began one.

        Raises:
            TooManyRunsError: as many runs as allowed are being driven.
            SessionBusyError: its session is being erased.
            JournalUnavailableError: the storage failed; there is no such run.
        """
        if (known := await self.begun_before(attempt)) is not None:
            return known
        if self.capacity.is_used_up:
            raise TooManyRunsError(self.capacity.limit)
        if new.session_id in self.erasing:
            raise SessionBusyError(new.session_id, "is being erased; wait a moment")
        latest, run_id = _Latest(), self._named(on_named, attempt)
        await self.agent.runner.start(
            message or new.prompt,
            session_id=new.session_id,
            instructions=new.instructions or self.agent.settings.instructions,
            limits=new.limits,
            observers=(latest,),
            run_id=run_id,
        )
        self._spawn(run_id, latest.state)
        return run_view(latest.state, driven=True)

    async def begun_before(self, attempt: Attempt) -> RunView | None:
        """The run that an attempt before this one began, which goes on if nobody drives it; None: it began none.

        Raises:
            TooManyRunsError: it is there, and as many runs as allowed are being driven.
        """
        if not attempt.is_again:
            return None
        run_id = attempt.stem_id("run")
        try:
            self.take_up(await self.agent.runner.load(run_id))
        except RunNotFoundError:
            return None
        return await self.view(run_id)

    async def view(self, run_id: str) -> RunView:
        """What is known of a run.

        Raises:
            RunNotFoundError: the journal knows no such run.
        """
        state = await self.agent.runner.load(run_id)
        driven = self.is_driven_here(run_id) or self.agent.ownership.is_owned(run_id)
        interruption = None if state.is_over else self._interrupted.get(run_id)
        return run_view(state, driven=driven, trouble=interruption.reason if interruption else "")

    async def command(
        self, run_id: str, command: ev.Event, *, seen: int | None = None, attempt: Attempt = ONLY
    ) -> RunView:
        """Append a person's command and go on with the run. What the attempt before appended is not refused: it is done.

        Raises:
            RunNotFoundError: the journal knows no such run.
            IllegalEventError, StaleCompletionError, QuestionUnseenError: the run does not wait for this; see `Runner.send`.
        """
        try:
            self.take_up(await self.agent.runner.send(run_id, command, seen=seen))
        except ProtocolError:
            if not (attempt.is_again and await self._has(run_id, command)):
                raise
        return await self.view(run_id)

    async def _has(self, run_id: str, command: ev.Event) -> bool:
        """Whether a run has this event, at whatever time."""
        async for stored in self.agent.journal.read(run_id):
            if (
                type(stored.event) is type(command)
                and msgspec.structs.replace(stored.event, at=command.at) == command
            ):
                return True
        return False

    async def resume(self, run_id: str) -> RunView:
        """Drive a run that was interrupted; one that is over, waits for a person or is driven already stays as it is.

        Raises:
            RunNotFoundError: the journal knows no such run.
            TooManyRunsError: as many runs as allowed are being driven.
        """
        self.take_up(await self.agent.runner.load(run_id))
        return await self.view(run_id)

    def _named(self, on_named: Callable[[str], None], attempt: Attempt) -> str:
        """The id of a run that is to begin."""
        run_id = attempt.fixed_id("run") or self.agent.runner.adapters.ids.new("run")
        on_named(run_id)
        return run_id

    async def fork(
        self,
        run_id: str,
        fork: ForkRun,
        *,
        on_named: Callable[[str], None] = lambda _: None,
        attempt: Attempt = ONLY,
    ) -> RunView:
        """Begin a run as a copy of the first events of another, and drive it in the background; `on_named` as for `submit`.

        Raises:
            RunNotFoundError: there is no such run, or it has no event of that number.
            ConfigurationError: another prompt where the model has read the first one.
            TooManyRunsError: as many runs as allowed are being driven.
        """
        if (known := await self.begun_before(attempt)) is not None:
            return known
        if self.capacity.is_used_up:
            raise TooManyRunsError(self.capacity.limit)
        new_id = self._named(on_named, attempt)
        await self.agent.runner.fork(run_id, fork.at_seq, prompt=fork.prompt, new_id=new_id)
        self.take_up(await self.agent.runner.load(new_id))
        return await self.view(new_id)

    async def views(
        self, *, session_id: str | None = None, behind: str = "", limit: int = 50
    ) -> tuple[list[RunView], bool]:
        """The newest runs behind run `behind` (empty: from the newest on), and whether there are more."""
        found: list[RunView] = []
        skipping = bool(behind)
        async for head in self.agent.journal.heads(session_id=session_id, limit=LIST_AT_MOST):
            if skipping:
                skipping = head.run_id != behind
            elif len(found) == limit:
                return found, True
            else:
                with suppress(RunNotFoundError):  # it was erased a moment ago
                    found.append(await self.view(head.run_id))
        return found, False

    def take_up(self, state: RunState, *, tries: int = 0) -> None:
        """Drive a run from the state that it is in, unless it rests or is driven already. `tries`: see `_Interruption`.

        Raises:
            TooManyRunsError: as many runs as allowed are being driven.
        """
        waits = state.is_over or state.phase is Phase.AWAITING
        if waits:
            self._interrupted.pop(state.run_id, None)
        if waits or self.is_driven_here(state.run_id) or self.agent.ownership.is_owned(state.run_id):
            return
        if self.capacity.is_used_up:
            raise TooManyRunsError(self.capacity.limit)
        self._spawn(state.run_id, state, tries)

    async def resume_unfinished(self) -> int:
        """Drive every run that was left in the middle, by this daemon or a command line; returns how many."""
        resumed = 0
        async for state in self._unfinished():
            if self.capacity.is_used_up:
                self.capacity.waiting.append(partial(self._spawn, state.run_id))
            else:
                self._spawn(state.run_id)
            resumed += 1
        return resumed

    async def _unfinished(self) -> AsyncIterator[RunState]:
        async for head in self.agent.journal.heads(limit=RESUME_AT_MOST):
            state = await self.agent.runner.load(head.run_id)
            waits = state.is_over or state.phase is Phase.AWAITING
            if not waits and not self.agent.ownership.is_owned(head.run_id):
                yield state

    def _spawn(self, run_id: str, state: RunState | None = None, tries: int = 0) -> None:
        """Drive a run in the background, from the state that it was in a moment ago, if that is known."""
        self.broadcast.begin(state or RunState(run_id=run_id))
        self.capacity.take()
        self._interrupted.pop(run_id, None)
        for begins in self.before_drive:
            begins(run_id)
        self._tasks.start_soon(self._drive, run_id, state, tries)

    async def _drive(self, run_id: str, state: RunState | None, tries: int) -> None:
        structlog.contextvars.bind_contextvars(run_id=run_id)  # for this task, which ends with the drive
        observers = (self.broadcast, *self._observers)
        try:
            with self.agent.ownership.owning(run_id):
                state = await self.agent.runner.drive(run_id, observers=observers, state=state)
            logger.info("run %s rests in %s", run_id, state.phase.value)
        except RunBusyError:
            logger.info("run %s is driven by another process", run_id)
        except RunNotFoundError:
            logger.info("run %s was erased", run_id)
        except AgentError as error:
            logger.warning("run %s is interrupted: %s", run_id, error)
            interruption = self._interrupt(run_id, str(error), tries)
            if error.retryable:
                self._tasks.start_soon(self._drive_again, run_id, interruption)
        except Exception as error:  # a fault of one run must not end the others
            self._interrupt(run_id, f"{type(error).__name__}: {error}", tries)
            logger.exception("run %s is interrupted by a fault", run_id)
        finally:
            self.broadcast.release(run_id)
            self.capacity.release()

    def _interrupt(self, run_id: str, reason: str, tries: int) -> _Interruption:
        """Note why a run is interrupted, in the place of what was known before."""
        self._interrupted.pop(run_id, None)
        if len(self._interrupted) >= INTERRUPTED_AT_MOST:
            del self._interrupted[next(iter(self._interrupted))]
        found = self._interrupted[run_id] = _Interruption(reason, tries)
        return found

    async def _drive_again(self, run_id: str, interruption: _Interruption) -> None:
        """Take a run up after a while, if nobody has; each time later, and not for ever."""
        tries = interruption.tries
        while tries < len(self._retry_after_s):
            await anyio.sleep(self._retry_after_s[tries])
            if (
                self._interrupted.get(run_id) is not interruption
            ):  # it went on, and what came of that is known
                return
            tries += 1
            try:
                self.take_up(await self.agent.runner.load(run_id), tries=tries)
            except RunNotFoundError:
                self._interrupted.pop(run_id, None)
            except AgentError as error:  # no place is free, or the journal is still away
                logger.info("run %s is not taken up yet: %s", run_id, error)
                continue
            return

    def go_on(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` beside the runs: it belongs to the daemon, not to who asked for it. Its fault ends it alone."""

        async def guarded() -> None:
            try:
                await work()
            except AgentError as error:
                logger.warning("%s ended: %s", name, error)
            except Exception:
                logger.exception("%s ended by a fault", name)

        self._tasks.start_soon(guarded)

    def is_driven_here(self, run_id: str) -> bool:
        """Whether this process drives the run at this moment."""
        return self.broadcast.driven(run_id) is not None
