"""A process of a simulated world: a real `Runner` over ports that dawdle, fail, and die with the process.

A process dies at any await and on either side of any append: from then on its ports let nothing through. What it wrote
and what its tools did stays, everything else is gone.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Protocol

import anyio

from agent_core import events as ev
from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest
from agent_core.errors import (
    JournalConflictError,
    JournalUnavailableError,
    ModelUnavailableError,
    ProtocolError,
)
from agent_core.messages import Message
from agent_core.ports import HydrateRequest, Journal, Memory, RunHead, StoredEvent, ToolContext
from agent_core.reflexion import Judgement
from agent_core.runner import Runner
from agent_core.state import RunState
from agent_core.testing.simulation.adapters import SimulatedCritic, SimulatedModel, SimulatedTools
from agent_core.testing.simulation.chance import Chance
from agent_core.testing.simulation.witness import Activation, Witness
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec

ACTIVATION: ContextVar[Activation | None] = ContextVar("ACTIVATION", default=None)
"""The drive in which code runs: tasks inherit it."""

PASSING = (ModelUnavailableError, JournalConflictError, JournalUnavailableError)
"""What a drive may raise, and who drives it tries again."""


class ProcessDiedError(BaseException):
    """The process is gone: no `except Exception` sees this."""


class Ground(Protocol):
    """What all processes of a world stand on, and what outlives them."""

    witness: Witness
    faults: frozenset[str]
    journal: Journal
    memory: Memory
    model: SimulatedModel
    tools: SimulatedTools
    critic: SimulatedCritic

    def is_quiet(self) -> bool:
        """True once nothing goes wrong any more."""
        ...


class Process:
    """One process, as long as it lives."""

    def __init__(self, name: str, ground: Ground, chance: Chance) -> None:
        self.name: str = name
        self.ground: Ground = ground
        self.is_dead: bool = False
        self.runner: Runner
        """Set by who makes the process, over `ports`."""
        self.chance: Chance = chance
        self._fuse = chance.count(1, 80) if "crash" in ground.faults and chance.happens(0.4) else 0
        self._scopes: set[anyio.CancelScope] = set()

    def kill(self) -> None:
        """End the process, as `kill -9` would."""
        if not self.is_dead:
            self.ground.witness.saw("process died", self.name)
            self.is_dead = True
            for scope in self._scopes:
                scope.cancel()

    async def boundary(self) -> None:
        """A place where the process may lose time, and may die."""
        if self.is_dead:
            raise ProcessDiedError
        if not self.ground.is_quiet():
            if self._fuse:
                self._fuse -= 1
                if not self._fuse:
                    self.kill()
                    raise ProcessDiedError
            await self._dawdle()
        else:
            await asyncio.sleep(0)  # nobody who goes in circles does so unseen
        if self.is_dead:
            raise ProcessDiedError

    async def _dawdle(self) -> None:
        draw = self.chance.fraction()
        if draw < 0.4:
            return
        if draw < 0.9 or "delay" not in self.ground.faults:
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(self.chance.between(0, 0.2) if draw < 0.99 else self.chance.between(0, 40))

    def works(self) -> None:
        """The drive at hand does something for its run."""
        activation = ACTIVATION.get()
        if activation is not None:
            self.ground.witness.works(activation)

    # ── what is done in this process ─────────────────────────────────────────────────────────────────────────────

    async def drive(self, run_id: str, *, streamed: bool = False) -> Activation:
        """Drive a run, until it rests, or the process dies, or what may happen happens."""
        witness = self.ground.witness
        state = witness.state(run_id)
        activation = Activation(
            run_id=run_id,
            session_id=state.session_id,
            process=self.name,
            began_at=anyio.current_time(),
            began_after=state.seq,
        )
        witness.activations.append(activation)
        witness.saw("drive", run_id, self.name, streamed)
        token = ACTIVATION.set(activation)
        try:
            how = await self._alive(self._streamed(activation) if streamed else self._driven(activation))
        finally:
            ACTIVATION.reset(token)
        witness.came_to_rest(activation, how)
        return activation

    async def _driven(self, activation: Activation) -> str:
        watcher = _Watcher(self.ground.witness, activation)
        state = await self.runner.drive(activation.run_id, observers=(watcher,))
        activation.rest_seq = state.seq
        return "rest"

    async def _streamed(self, activation: Activation) -> str:
        witness, chance = self.ground.witness, self.chance
        leaves_after = chance.count(0, 12) if "stream" in self.ground.faults and chance.happens(0.5) else None
        async with self.runner.stream(activation.run_id) as items:
            async for item in items:
                if isinstance(item, StoredEvent):
                    state = (
                        witness.states[item.run_id][item.seq]
                        if item.run_id in witness.states
                        else RunState(run_id="")
                    )
                    witness.observed(activation, item, state)
                if chance.happens(0.1):
                    await asyncio.sleep(chance.between(0, 2))
                if leaves_after is not None and len(activation.seqs) > leaves_after:
                    return "left"
        return "rest"

    async def send(self, run_id: str, command: ev.Event) -> str:
        """Send a command; returns `sent`, or why it was not."""
        how = await self._alive(self._sent(run_id, command))
        self.ground.witness.saw(f"command {how}", run_id, ev.event_type(command), self.name)
        return how

    async def _sent(self, run_id: str, command: ev.Event) -> str:
        try:
            seen = (await self.runner.load(run_id)).seq  # who decides looks first
            await self.runner.send(run_id, command, seen=seen)
        except ProtocolError as error:
            return type(error).__name__
        if isinstance(command, ev.RunCancelled):
            for one in self.ground.witness.activations:
                if (one.run_id, one.process, one.ended_at) == (run_id, self.name, None):
                    one.cancelled_at = anyio.current_time()
        return "sent"

    async def start(self, start: Callable[[Runner], Awaitable[str]]) -> str:
        """Start a run; the id of it, or nothing where that failed."""
        ids: list[str] = []

        async def started() -> str:
            ids.append(await start(self.runner))
            return "started"

        await self._alive(started())
        return ids[0] if ids else ""

    async def _alive(self, work: Awaitable[str]) -> str:
        """How the work ended in this process; a process that dies takes its work along."""
        how = "died"
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                how = await self._named(work)
            finally:
                self._scopes.discard(scope)
        return how

    async def _named(self, work: Awaitable[str]) -> str:
        try:
            return await work
        except ProcessDiedError:
            return "died"
        except PASSING as error:
            return type(error).__name__
        except BaseExceptionGroup as group:
            if not self.is_dead or group.subgroup(ProcessDiedError) is None:
                raise
            return "died"
        except Exception as error:  # noqa: BLE001  # a drive that raises what it did not promise is what we look for
            self.ground.witness.breaks("errors", f"{type(error).__name__}: {error}")
            return type(error).__name__


class _Watcher:
    """Tells the witness what an observer is told."""

    def __init__(self, witness: Witness, activation: Activation) -> None:
        self._witness = witness
        self._activation = activation

    def on_event(self, stored: StoredEvent, state: RunState) -> None:
        self._witness.observed(self._activation, stored, state)

    def on_delta(self, run_id: str, delta: Delta) -> None:
        pass


class ProcessJournal:
    """The journal, as a process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._journal = process.ground.journal
        self._witness = process.ground.witness
        self._chance = process.chance.stream(f"{process.name} storage")

    async def append(self, run_id: str, expected_seq: int, events: Sequence[ev.Event], *, writer: str) -> int:
        """Append, or fail before it, or die behind it."""
        ground = self._process.ground
        if not isinstance(events[0] if events else None, ev.COMMANDS):
            self._process.works()
        await self._process.boundary()
        if "storage" in ground.faults and not ground.is_quiet() and self._chance.happens(0.02):
            activation = ACTIVATION.get()
            if activation is not None:
                activation.lost_storage = True
            raise JournalUnavailableError("the simulated disk", "no space is left")
        self._witness.attempted.update(
            (run_id, expected_seq + place, writer) for place in range(1, len(events) + 1)
        )
        seq = await self._journal.append(run_id, expected_seq, events, writer=writer)
        self._witness.wrote(run_id, expected_seq, events, writer, seq)
        _has_seen(run_id, seq)
        await self._process.boundary()
        return seq

    async def read(self, run_id: str, after: int = 0) -> AsyncIterator[StoredEvent]:
        """Read."""
        await self._process.boundary()
        async for stored in self._journal.read(run_id, after):
            _has_seen(run_id, stored.seq)
            yield stored

    async def heads(self, *, session_id: str | None = None, limit: int = 100) -> AsyncIterator[RunHead]:
        """List."""
        await self._process.boundary()
        async for head in self._journal.heads(session_id=session_id, limit=limit):
            yield head

    async def fork(self, run_id: str, at_seq: int, new_run_id: str) -> None:
        """Copy."""
        await self._process.boundary()
        await self._journal.fork(run_id, at_seq, new_run_id)


def _has_seen(run_id: str, seq: int) -> None:
    activation = ACTIVATION.get()
    if activation is not None:
        activation.seen[run_id] = max(activation.seen.get(run_id, 0), seq)


class ProcessModel:
    """The model, as a process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._model = process.ground.model

    @property
    def profile(self) -> ModelProfile:
        """The model's."""
        return self._model.profile

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask."""
        self._process.works()
        async for item in self._model.stream(request, self._process.boundary):
            yield item

    async def aclose(self) -> None:
        """Holds nothing."""


class ProcessTools:
    """The tools, as a process reaches them: what they have not done when it dies, they do not do."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tools = process.ground.tools

    async def specs(self, query: str) -> Sequence[ToolOffer]:
        """All tools."""
        await self._process.boundary()
        return await self._tools.specs(query)

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one."""
        return self._tools.spec(name)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run one."""
        self._process.works()
        await self._process.boundary()
        return await self._tools.run(call, context, ACTIVATION.get(), self._process.boundary)


class ProcessMemory:
    """The memory, as a process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._memory = process.ground.memory

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:
        """Ask."""
        self._process.works()
        await self._process.boundary()
        return await self._memory.hydrate(request)

    async def remember(self, outcome: RunState) -> None:
        """Tell."""
        self._process.works()
        await self._process.boundary()
        await self._memory.remember(outcome)
        await self._process.boundary()


class ProcessCritic:
    """The critic, as a process reaches it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._critic = process.ground.critic

    async def judge(self, state: RunState) -> Judgement:
        """Ask about results."""
        return await self._critic.judge(state, self._process.boundary)

    async def check(self, state: RunState) -> Judgement:
        """Ask about an answer."""
        return await self._critic.check(state, self._process.boundary)
