"""One seed, lived through: what came of it, and which of its faults are needed for a law to break."""

import gc
from collections.abc import Iterable

import anyio
import msgspec

from agent_core.testing.simulation import laws
from agent_core.testing.simulation.scenario import FAULTS, Scenario
from agent_core.testing.simulation.witness import Violation
from agent_core.testing.simulation.world import Parts, World
from agent_core.testing.virtual_time import StalledError, virtual_time

MAX_STEPS_AT_ONCE = 10_000
"""A world takes some hundreds at most."""
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
    world = World(scenario, parts or Parts())
    stalled: list[Violation] = []
    collects = gc.isenabled()
    gc.disable()  # else a collection would end asynchronous generators at moments of its own
    try:
        anyio.run(_live, world, backend_options=virtual_time(seed, max_steps_at_once=MAX_STEPS_AT_ONCE))
    except StalledError as error:
        stalled.append(Violation(law="ends", detail=str(error), at_s=error.now))
    finally:
        if collects:
            gc.enable()
    witness = world.witness
    return Report(
        seed=seed,
        faults=tuple(sorted(scenario.faults)),
        violations=(*witness.violations, *stalled),
        fingerprint=witness.fingerprint(),
        counts=dict(witness.counts),
        virtual_s=world.ended_at_s,
        trace=tuple(witness.trace) if trace else (),
    )


async def _live(world: World) -> None:
    await world.live()
    await laws.check(world.witness, world.journal, world.memory, list(world.witness.written))


def shrink(report: Report, *, parts: Parts | None = None) -> Report:
    """The same seed with as few faults as still break one of the laws that it breaks."""
    wanted = {one.law for one in report.violations}
    for fault in report.faults:
        fewer = simulate(report.seed, parts=parts, faults=[one for one in report.faults if one != fault])
        if wanted & {one.law for one in fewer.violations}:
            return shrink(fewer, parts=parts)
    return report
