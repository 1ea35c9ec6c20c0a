"""What to offer for a request: the words that the runner shares with a router, and the router that offers everything.

Routing by similarity is in `routing`; the runner takes any factory of a `Router`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from agent_core.tools import Reading, ToolExample
from agent_skills.skill import AnySkill


class Ranked(NamedTuple):
    """How one skill fits a request."""

    name: str
    score: float = 0.0
    """0 to 1."""
    proposed: bool = False
    """True for the one skill that the router would call, if there is one."""
    shots: tuple[ToolExample, ...] = ()
    """The skill's examples nearest to the request, nearest first."""
    request: str = ""
    """The request as rewritten for the model, shots in the same way; empty: as it stands."""
    readings: tuple[Reading, ...] = ()
    """The values that arguments may take, as the skill read them in the request."""


class Router(Protocol):
    """Ranks skills for a request."""

    def rank(self, query: str) -> Sequence[Ranked]:
        """The skills to offer for `query`, best first; at most one is proposed.

        Runs in a worker thread, as it may ask skills what they read; several calls may run at once.
        """
        ...


RouterFactory: TypeAlias = Callable[[Sequence[AnySkill]], Router]
"""Builds a router for these skills. Called again whenever a plugin comes or goes."""


class OfferAll:
    """Offers every skill in the order of registration, and proposes none: right for up to about 20 skills."""

    def __init__(self, skills: Sequence[AnySkill]) -> None:
        self._ranked = tuple(Ranked(skill.spec.name) for skill in skills)

    def rank(self, query: str) -> Sequence[Ranked]:  # noqa: ARG002 - the port's signature
        """All of them, whatever the request."""
        return self._ranked
