"""What a seed decides before anything runs: the runs, their limits, how the runner is set, what may go wrong."""

import msgspec

from agent_core.limits import Limits
from agent_core.reflexion import Reflexion
from agent_core.testing.simulation.chance import Chance
from agent_core.tools import Label, ToolSpec

FAULTS = (
    "cancel",
    "crash",
    "critic",
    "delay",
    "hang",
    "model",
    "people",
    "storage",
    "stream",
    "takeover",
    "tool",
)
"""What may go wrong, each by its name: runs are cancelled; processes die; a critic judges, slowly or badly; everything
takes its time; tools hang; models refuse or are away; people edit, deny, repeat themselves and take days; the journal is
not to be had; readers leave a stream; two processes drive one run; tools fail."""

QUIET_AFTER_S = 400.0
"""Virtual seconds after which nothing goes wrong any more, and every run must come to its end."""


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One run to start."""

    name: str
    session_id: str
    starts_at_s: float
    limits: Limits


class AgentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One sub-agent."""

    name: str
    limits: Limits
    agents: tuple["AgentPlan", ...] = ()
    """Whom it may call in its turn."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What a seed decides before anything runs."""

    seed: int
    faults: frozenset[str]
    runs: tuple[RunPlan, ...]
    specs: tuple[ToolSpec, ...]
    agents: tuple[AgentPlan, ...]
    planning: bool
    escalate: bool
    has_critic: bool
    reflexion: Reflexion
    fresh_ids: bool
    """False: the model gives its calls the same ids in every turn."""
    processes: int

    @classmethod
    def of(cls, seed: int, faults: frozenset[str] = frozenset(FAULTS)) -> "Scenario":
        """The scenario of a seed; `faults` takes away what may not happen, and nothing else."""
        chance = Chance(seed, "scenario")
        sessions = chance.count(1, 2)
        runs = tuple(
            RunPlan(
                name=f"run {number}",
                session_id=f"session {chance.count(1, sessions)}",
                starts_at_s=chance.between(0, 30) if number else 0.0,
                limits=_limits(chance),
            )
            for number in range(chance.count(1, 3))
        )
        return cls(
            seed=seed,
            faults=faults,
            runs=runs,
            specs=_specs(chance),
            agents=_agents(chance),
            planning=chance.happens(0.5),
            escalate=chance.happens(0.7),
            has_critic=chance.happens(0.3) and "critic" in faults,
            reflexion=_reflexion(chance),
            fresh_ids=chance.happens(0.7),
            processes=chance.count(1, 3),
        )


def _limits(chance: Chance) -> Limits:
    return Limits(
        turns=chance.one_of((1, 2, 4, 8, 12)),
        tool_calls=chance.one_of((None, 0, 1, 3, 6)) if chance.happens(0.5) else 20,
        total_tokens=chance.one_of((1, 40, 200)) if chance.happens(0.15) else None,
        output_tokens=chance.one_of((1, 20, 80)) if chance.happens(0.1) else None,
        cost_usd=0.03 if chance.happens(0.1) else None,
        wall_time_s=chance.one_of((0.0, 2.0, 10.0, 40.0, 200.0, 90_000.0)) if chance.happens(0.35) else None,
        last_turn=chance.happens(0.75),
    )


def _agents(chance: Chance) -> tuple[AgentPlan, ...]:
    """None, one, or two of which the second may call the first."""
    helper = AgentPlan(name="helper", limits=_limits(chance))
    chief = AgentPlan(name="chief", limits=_limits(chance), agents=(helper,))
    return chance.one_of(((), (), (helper,), (helper, chief)))


def _reflexion(chance: Chance) -> Reflexion:
    if chance.happens(0.5):
        return Reflexion()
    return Reflexion(
        attempts=chance.count(1, 4),
        revise_empty=chance.happens(0.5),
        revise_repeated=chance.one_of((None, 2, 3)),
        escalate_repeated=chance.one_of((None, 2, 4)),
        failed_turns=chance.one_of((None, 1, 3)),
        answer_revisions=chance.count(0, 3),
        critic_timeout_s=chance.one_of((5.0, 60.0)),
    )


def _specs(chance: Chance) -> tuple[ToolSpec, ...]:
    """The same seven tools in every world; how long they may take differs."""
    kinds = (
        ("look", True, ()),
        ("crawl", True, (Label.RETURNS_UNTRUSTED,)),
        ("recall", True, (Label.READS_PRIVATE,)),
        ("book", False, ()),
        ("send", False, (Label.SENDS_OUT,)),
        ("wipe", False, (Label.DESTROYS,)),
        ("ask", True, ()),
    )
    return tuple(
        ToolSpec(
            name=name,
            description=f"The tool {name}.",
            parameters={"type": "object"},
            idempotent=idempotent,
            labels=labels,
            timeout_s=chance.one_of((1.0, 10.0, 30.0)),
            asks="question" if name == "ask" else "",
        )
        for name, idempotent, labels in kinds
    )
