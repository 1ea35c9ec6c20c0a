"""One seed, lived through: what came of it, and which of its faults are needed for a law to break."""

import gc
from collections.abc import Iterable

import anyio
import msgspec

from agent_core.testing.simulation import laws
from agent_core.testing.simulation.scenario import FAULTS, Scenario
from agent_core.testing.simulation.witness import Violation
from agent_core.testing.simulation.world import Parts, World
from agent_core.testing.virtual_time import virtual_time

COMMAND = "python -m agent_core.testing.simulation"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    faults: tuple[str, ...]
    """What was allowed to go wrong."""
    violations: tuple[Violation, ...]
    fingerprint: str
    """Digest of everything that happened, in order: two histories are the same if their fingerprints are."""
    counts: dict[str, int]
    """How often each thing happened: events by type, crashes, commands, tools, ends of drives."""
    virtual_s: float
    """How long the world took by its own clock."""
    steps: int
    """How many callbacks the event loop ran."""
    trace: tuple[tuple[object, ...], ...] = ()
    """What happened, each with its virtual time, where it was asked for."""

    @property
    def command(self) -> str:
        """The command that lives through this seed again, and prints what happened."""
        some = "" if set(self.faults) == set(FAULTS) else f" --faults {','.join(self.faults) or 'none'}"
        return f"{COMMAND} --first {self.seed} --seeds 1{some} --trace"

    def __str__(self) -> str:
        """The broken laws, and the command to see it again."""
        broken = [f"  {one.law}: {one.detail} (at {one.at_s:.3f} s)" for one in self.violations[:10]]
        return "\n".join(
            (f"seed {self.seed}: {len(self.violations)} violations", *broken, f"  {self.command}")
        )


def simulate(
    seed: int, *, parts: Parts | None = None, faults: Iterable[str] = FAULTS, trace: bool = False
) -> Report:
    """Live through the world of one seed.

    Args:
        seed: Decides everything: the runs, what everybody does, who goes first.
        parts: Your own adapters; None: the fakes.
        faults: What may go wrong, out of `FAULTS`.
        trace: Whether to keep what happened in the report.
    """
    scenario = Scenario.of(seed, frozenset(faults))
    collects = gc.isenabled()
    gc.disable()  # else a collection would end asynchronous generators at moments of its own
    try:
        return anyio.run(_lived, scenario, parts or Parts(), trace, backend_options=virtual_time(seed))
    finally:
        if collects:
            gc.enable()


async def _lived(scenario: Scenario, parts: Parts, trace: bool) -> Report:
    world = World(scenario, parts)
    await world.live()
    ended_at = anyio.current_time()
    witness = world.witness
    await laws.check(witness, world.journal, world.memory, list(witness.written))
    return Report(
        seed=scenario.seed,
        faults=tuple(sorted(scenario.faults)),
        violations=tuple(witness.violations),
        fingerprint=witness.fingerprint(),
        counts=dict(witness.counts),
        virtual_s=ended_at,
        steps=len(witness.trace),
        trace=tuple(witness.trace) if trace else (),
    )


def shrink(report: Report, *, parts: Parts | None = None) -> Report:
    """The same seed with as few faults as still break one of the laws that it breaks."""
    wanted = {one.law for one in report.violations}
    for fault in report.faults:
        fewer = simulate(report.seed, parts=parts, faults=[one for one in report.faults if one != fault])
        if wanted & {one.law for one in fewer.violations}:
            return shrink(fewer, parts=parts)
    return report
