"""Which skill fits a request: the examples most like it vote, and skills add what they read in it.

Built for models too small to choose: what is proposed here is called. Everything is measured on wordings that were
not written with the examples at hand; `bench/small_model.py` repeats it.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from agent_core.tools import Reading, ToolExample
from agent_skills.offers import Ranked
from agent_skills.reading import Understood
from agent_skills.similarity import Near, SimilarityIndex
from agent_skills.skill import AnySkill
from agent_skills.small_talk import SMALL_TALK

VOTERS = 5
FLOOR_WITH_SIGN = 0.05
FLOOR_WITHOUT_SIGN = 0.33
"""How alike the nearest example of a skill must be. Without a sign in the request itself (two numbers, a file name) it
must be really alike: long word problems resemble nothing much, small talk resembles `what day is it` a little."""
MAX_SHOTS = 8
PRIOR_VOTERS = 8
PRIOR_SMOOTHING = 0.1
PRIOR_WEIGHT = 2.0
"""What the kinds of similar examples count against the model's own likelihoods."""

logger = logging.getLogger(__name__)


class _Example(msgspec.Struct, frozen=True):
    skill: str
    """Empty: small talk, no skill."""
    shot: ToolExample | None = None
    kinds: Mapping[str, str] = {}


class SimilarityRouter:
    """Ranks skills by likeness; proposes the best unless small talk is likelier."""

    def __init__(self, skills: Sequence[AnySkill]) -> None:
        self._skills = {skill.spec.name: skill for skill in skills}
        self._examples: list[_Example] = []
        texts: list[str] = []
        for skill in skills:
            for example in skill.spec.examples:
                read = skill.reader.example(example)
                self._examples.append(_Example(skill.spec.name, read.shot, read.kinds))
                texts.append(read.masked)
        self._examples += [_Example("") for _ in SMALL_TALK]
        self._index = SimilarityIndex([*texts, *SMALL_TALK])
        self._own = {
            name: [index for index, example in enumerate(self._examples) if example.skill == name]
            for name in ("", *self._skills)
        }

    def rank(self, query: str) -> Sequence[Ranked]:
        """Every skill, best first; the best is proposed where it beats small talk. May block: readers may."""
        understood = self._understand(query)
        near = self._nearest(query, understood)
        votes = self._shares(near[:VOTERS])
        for name, one in understood.items():
            votes[name] = votes.get(name, 0.0) + one.sign
        best = max(votes, key=lambda name: (votes[name], name != ""), default="")
        likest = max((one.score for one in near if self._examples[one.place].skill == best), default=0.0)
        proposed = best if best and likest >= _floor(understood[best].sign) else ""
        order = sorted(self._skills, key=lambda name: -votes.get(name, 0.0))
        return [
            self._proposal(name, min(votes.get(name, 0.0), 1.0), query, understood[name])
            if name == proposed
            else Ranked(name, min(votes.get(name, 0.0), 1.0))
            for name in order
        ]

    def _understand(self, query: str) -> dict[str, Understood]:
        """What each skill reads in the request; those that cannot serve it are left out."""
        found: dict[str, Understood] = {}
        for name, skill in self._skills.items():
            try:
                one = skill.reader.read(query)
            except Exception:  # a reader is a help: without it the skill competes by its examples alone
                logger.warning("skill %s could not read the request", name, exc_info=True)
                one = Understood(request=query)
            if one is not None:
                found[name] = one
        return found

    def _nearest(self, query: str, understood: Mapping[str, Understood]) -> list[Near]:
        near = self._index.nearest(query, self._own[""])
        for name in understood:
            near += self._index.nearest(self._skills[name].reader.mask(query), self._own[name])
        return sorted(near, key=lambda one: (-one.score, one.place))

    def _shares(self, near: Sequence[Near]) -> dict[str, float]:
        """Each skill's share of the votes; the empty name is small talk."""
        votes: dict[str, float] = {}
        for one in near:
            name = self._examples[one.place].skill
            votes[name] = votes.get(name, 0.0) + one.score
        total = sum(votes.values()) or 1.0
        return {name: vote / total for name, vote in votes.items()}

    def _proposal(self, name: str, score: float, query: str, understood: Understood) -> Ranked:
        mask = self._skills[name].reader.mask
        near = self._index.nearest(mask(query), self._own[name])
        readings = tuple(
            Reading(
                argument=argument,
                values=tuple(values),
                log_weights=self._weights(argument, near, understood.kinds.get(argument, ())),
            )
            for argument, values in understood.values.items()
        )
        return Ranked(
            name=name,
            score=score,
            proposed=True,
            shots=self._shots(near, understood),
            request=understood.request,
            readings=readings,
        )

    def _shots(self, near: Sequence[Near], understood: Understood) -> tuple[ToolExample, ...]:
        """The nearest examples whose values are of a kind that may be answered; any, where none is."""
        examples = [self._examples[one.place] for one in near]
        fitting = [
            example
            for example in examples
            if all(example.kinds.get(argument) in kinds for argument, kinds in understood.kinds.items())
        ]
        return tuple(example.shot for example in (fitting or examples)[:MAX_SHOTS] if example.shot)

    def _weights(self, argument: str, near: Sequence[Near], kinds: Sequence[str]) -> tuple[float, ...]:
        """For each value, the logarithm of its kind's share among the nearest examples."""
        if not kinds:
            return ()
        shares: defaultdict[str, float] = defaultdict(float)
        fitting = [one for one in near if self._examples[one.place].kinds.get(argument) in set(kinds)]
        for one in fitting[:PRIOR_VOTERS]:
            shares[self._examples[one.place].kinds[argument]] += one.score**2
        total = sum(shares.values()) + PRIOR_SMOOTHING * len(set(kinds))
        return tuple(PRIOR_WEIGHT * math.log((shares[kind] + PRIOR_SMOOTHING) / total) for kind in kinds)


def _floor(sign: float) -> float:
    """How alike the nearest example must be; a sign of 1 outweighs all examples together."""
    if sign >= 1.0:
        return 0.0
    return FLOOR_WITH_SIGN if sign else FLOOR_WITHOUT_SIGN
