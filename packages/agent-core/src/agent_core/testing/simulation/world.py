"""A simulated world: processes that drive runs, people who decide and cancel, and everything that goes wrong."""

from collections.abc import Callable
from functools import partial

import anyio
import msgspec

from agent_core import events as ev
from agent_core import planning
from agent_core.agents import SubAgent
from agent_core.effects import AwaitDecision, AwaitRun
from agent_core.ports import Journal, Memory, ToolRunner
from agent_core.runner import Runner
from agent_core.testing.clock import SequentialIds
from agent_core.testing.journal import InMemoryJournal
from agent_core.testing.memory import NoMemory
from agent_core.testing.simulation import process as of
from agent_core.testing.simulation.adapters import SimulatedCritic, SimulatedModel, SimulatedTools
from agent_core.testing.simulation.chance import Chance
from agent_core.testing.simulation.scenario import QUIET_AFTER_S, AgentPlan, RunPlan, Scenario
from agent_core.testing.simulation.witness import Witness
from agent_core.testing.virtual_time import LoopClock
from agent_core.transitions import owed

DAY_S = 86_400.0
EPOCH_S = 1_700_000_000.0
"""What the clock shows when a world begins, in seconds since the epoch."""
HORIZON_S = QUIET_AFTER_S + 4 * DAY_S
"""Virtual seconds until every run must have ended."""


def _same(tools: ToolRunner) -> ToolRunner:
    return tools


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a world is built of. Put your own adapter in the place of one: no part may wait for a thread or for I/O."""

    journal: Callable[[], Journal] = InMemoryJournal
    """Made once a world; outlives the processes."""
    memory: Callable[[], Memory] = NoMemory
    """Made once a world; outlives the processes."""
    tools: Callable[[ToolRunner], ToolRunner] = _same
    """Put around the tools of each process."""
    runner: Callable[..., Runner] = Runner
    """Made once a process, with the arguments of `Runner`."""


class World:
    """One world; `live` is its whole life."""

    def __init__(self, scenario: Scenario, parts: Parts) -> None:
        self.scenario: Scenario = scenario
        self.faults: frozenset[str] = scenario.faults
        self.witness: Witness = Witness(EPOCH_S)
        self.journal: Journal = parts.journal()
        self.memory: Memory = parts.memory()
        self.model: SimulatedModel = SimulatedModel(scenario, self.is_quiet)
        self.tools: SimulatedTools = SimulatedTools(scenario, self.witness, self.is_quiet)
        self.critic: SimulatedCritic = SimulatedCritic(scenario, self.is_quiet)
        self.run_ids: dict[str, str] = {}
        """By the name of the plan, once it is started."""
        self._parts = parts
        self._chance = Chance(scenario.seed, "world")
        self._clock = LoopClock(EPOCH_S)
        self._ids = SequentialIds()
        self.ended_at_s: float = 0.0
        """Virtual seconds after which every run was over, or the world was left."""
        self._processes: list[of.Process] = []
        self._made = 0

    def is_quiet(self) -> bool:
        """True once nothing goes wrong any more."""
        return anyio.current_time() >= QUIET_AFTER_S

    async def live(self) -> None:
        """Start every run, let things go wrong for a while, and then see every run to its end."""
        with anyio.move_on_after(HORIZON_S):
            async with anyio.create_task_group() as chaos:
                chaos.start_soon(self._people)
                chaos.start_soon(self._give_up, chaos.cancel_scope)
                if "crash" in self.faults:
                    chaos.start_soon(self._kill)
                async with anyio.create_task_group() as keepers:
                    for plan in self.scenario.runs:
                        keepers.start_soon(self._keep, plan)
                chaos.cancel_scope.cancel()
        self.ended_at_s = anyio.current_time()

    async def _give_up(self, scope: anyio.CancelScope) -> None:
        await self.witness.enough.wait()
        scope.cancel()

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────

    def process(self) -> of.Process:
        """A process that lives; in place of one that died comes a new one."""
        self._processes = [one for one in self._processes if not one.is_dead]
        while len(self._processes) < self.scenario.processes:
            self._processes.append(self._new_process())
        return self._chance.one_of(self._processes)

    def _new_process(self) -> of.Process:
        self._made += 1
        name = f"process {self._made}"
        made = of.Process(name, self, Chance(self.scenario.seed, name))
        made.runner = self._parts.runner(
            model=of.ProcessModel(made),
            tools=self._parts.tools(of.ProcessTools(made)),
            memory=of.ProcessMemory(made),
            journal=of.ProcessJournal(made),
            clock=self._clock,
            ids=self._ids,
            planning=self.scenario.planning,
            escalate=self.scenario.escalate,
            reflexion=self.scenario.reflexion,
            critic=of.ProcessCritic(made) if self.scenario.has_critic else None,
            agents=[_agent(plan) for plan in self.scenario.agents],
        )
        return made

    async def _kill(self) -> None:
        while not self.is_quiet():
            await anyio.sleep(self._chance.between(0, 150))
            self.process().kill()

    # ── a run, from its start to its end ─────────────────────────────────────────────────────────────────────────

    async def _keep(self, plan: RunPlan) -> None:
        await anyio.sleep(plan.starts_at_s)
        run_id = await self._start(plan)
        self.run_ids[plan.name] = run_id
        async with anyio.create_task_group() as others:
            if "cancel" in self.faults and self._chance.happens(0.2):
                others.start_soon(self._cancel, run_id, self._chance.between(0, 60))
            seq, tries = 0, 0
            while not (state := self.witness.state(run_id)).is_over:
                seq, tries = state.seq, tries + 1 if state.seq == seq else 0
                if "takeover" in self.faults and not self.is_quiet() and self._chance.happens(0.4):
                    others.start_soon(self._drive_too, run_id)
                await self.process().drive(run_id, streamed=self._chance.happens(0.15))
                if self._rests(run_id):
                    await self.witness.news.wait()
                    await anyio.sleep(self._chance.between(0, 60))
                elif not self.witness.state(run_id).is_over:
                    await anyio.sleep(self._chance.between(0, 10) * 2 ** min(tries, 12))
            self.witness.saw(f"run {state.phase}", run_id)
            others.cancel_scope.cancel()
        if self._chance.happens(0.1):
            await self.process().drive(run_id)  # a run that is over is left alone

    async def _start(self, plan: RunPlan) -> str:
        start = partial(Runner.start, prompt=plan.name, session_id=plan.session_id, limits=plan.limits)
        while True:
            run_id = await self.process().start(start)
            for known, states in self.witness.states.items():
                if states[-1].input is not None and states[-1].input.text == plan.name:
                    return known  # it was written, whether or not the process lived to say so
            if run_id:
                self.witness.breaks("numbers", f"{run_id} was started and is in no journal")
                return run_id
            await anyio.sleep(self._chance.between(0, 5))

    async def _drive_too(self, run_id: str) -> None:
        """As a node does that believes the first one dead."""
        await anyio.sleep(self._chance.between(0, 3) if self._chance.happens(0.5) else 0)
        await self.process().drive(run_id)

    def _rests(self, run_id: str) -> bool:
        """Whether the run, and all that it delegated, waits for nothing but people."""
        waiting = [
            state for key in self.witness.family(run_id) if not (state := self.witness.state(key)).is_over
        ]
        for effect in [effect for state in waiting for effect in owed(state)]:
            if isinstance(effect, AwaitRun):
                delegated = self.witness.state(effect.run_id)
                if delegated.seq and not delegated.is_over:
                    continue
            if not isinstance(effect, AwaitDecision):
                return False
        return bool(waiting)

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _cancel(self, run_id: str, after_s: float = 0.0) -> None:
        await anyio.sleep(after_s)
        self.witness.saw("cancel", run_id)
        await self.process().send(run_id, ev.RunCancelled(at=self._clock.now(), by="somebody"))

    async def _people(self) -> None:
        """Look now and then whether anything is asked; decide, sometimes after days, sometimes twice."""
        while True:
            is_days_later = "people" in self.faults and not self.is_quiet() and self._chance.happens(0.05)
            await anyio.sleep(
                self._chance.between(1, 3) * DAY_S if is_days_later else self._chance.between(1, 40)
            )
            for run_id in list(self.witness.states):
                await self._look_at(run_id)

    async def _look_at(self, run_id: str) -> None:
        state, calm = self.witness.state(run_id), self.is_quiet()
        for call in planning.asked(state.calls) if not state.is_over else ():
            if calm or self._chance.happens(0.7):
                await self._decide(run_id, call)
        if "people" in self.faults and state.calls and not calm and self._chance.happens(0.1):
            await self._decide(run_id, self._chance.one_of(list(state.calls.values())))  # perhaps not asked
        if "cancel" in self.faults and not calm and self._chance.happens(0.01):
            await self._cancel(run_id)

    async def _decide(self, run_id: str, call: planning.CallState) -> None:
        command = self._command(call)
        times = 2 if "people" in self.faults and self._chance.happens(0.2) else 1
        async with anyio.create_task_group() as clicks:
            for _ in range(times):
                clicks.start_soon(self.process().send, run_id, command)

    def _command(self, call: planning.CallState) -> ev.Event:
        at, key = self._clock.now(), call.call.tool_call_id
        kinds = {"grant": 4.0, "deny": 1.5}
        if "people" in self.faults:
            kinds |= {"edit": 1.5, "input": 1.0}
        match self._chance.weighted(kinds):
            case "deny":
                return ev.ApprovalDenied(at=at, tool_call_id=key, by="somebody", reason="no")
            case "edit":
                arguments: dict[str, object] = {"n": self._chance.count(0, 3), "edited": True}
                return ev.ApprovalGranted(at=at, tool_call_id=key, by="somebody", arguments=arguments)
            case "input":
                return ev.InputGiven(at=at, tool_call_id=key, by="somebody", text="I did it myself")
            case _:
                return ev.ApprovalGranted(at=at, tool_call_id=key, by="somebody")


def _agent(plan: AgentPlan) -> SubAgent:
    description = f"The sub-agent {plan.name}."
    agents = tuple(_agent(one) for one in plan.agents)
    return SubAgent(name=plan.name, description=description, limits=plan.limits, agents=agents)
