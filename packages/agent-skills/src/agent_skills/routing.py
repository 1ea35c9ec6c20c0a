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
from agent_skills.reading import ReadExample, Understood
from agent_skills.similarity import Near, Scores, SimilarityIndex
from agent_skills.skill import AnySkill
from agent_skills.small_talk import SMALL_TALK

VOTERS = 5
FLOOR_WITH_SIGN = 0.05
FLOOR_WITHOUT_SIGN = 0.33
"""How alike the nearest example of a skill must be. Without a sign in the request itself (two numbers, a file name) it
must be really alike: long word problems resemble nothing much, small talk resembles `what day is it` a little."""
MAX_QUERY_CHARS = 2_000
"""Characters of a request that are looked at, from its beginning: what is wanted of a pasted text stands at its head,
and some patterns take time that grows with the square of the length. The routed mode shows the model no more."""
MAX_SHOTS = 8
VERBATIM = 0.99
"""How alike small talk must be to count as said word by word: then only an example that is as alike outweighs it."""
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
        read = [
            (skill.spec.name, _read_example(skill, one)) for skill in skills for one in skill.spec.examples
        ]
        self._examples = [_Example(name, one.shot, one.kinds) for name, one in read]
        self._examples += [_Example("") for _ in SMALL_TALK]
        self._index = SimilarityIndex([*(one.masked for _, one in read), *SMALL_TALK])
        self._own: dict[str, list[int]] = {name: [] for name in ("", *self._skills)}
        for place, example in enumerate(self._examples):
            self._own[example.skill].append(place)

    def rank(self, query: str) -> Sequence[Ranked]:
        """Every skill, best first; the best is proposed where it beats small talk. May block: readers may."""
        query = query[:MAX_QUERY_CHARS]
        understood = {name: one for name, skill in self._skills.items() if (one := _understand(skill, query))}
        nearest = self._nearest(query, understood)
        near = sorted((one for some in nearest.values() for one in some), key=_likest_first)
        votes = self._shares(near[:VOTERS])
        for name, one in understood.items():
            votes[name] = votes.get(name, 0.0) + one.sign
        best = max(votes, key=lambda name: (votes[name], name != ""), default="")
        likest = nearest[best][0].score if nearest.get(best) else 0.0
        talk = nearest[""][0].score
        is_talk = not best or (talk >= VERBATIM and likest < talk)
        proposed = best if not is_talk and likest >= _floor(understood[best].sign) else ""
        order = sorted(self._skills, key=lambda name: -votes.get(name, 0.0))
        return [
            self._proposal(name, min(votes.get(name, 0.0), 1.0), nearest[name], understood[name])
            if name == proposed
            else Ranked(name, min(votes.get(name, 0.0), 1.0))
            for name in order
        ]

    def _nearest(self, query: str, understood: Mapping[str, Understood]) -> dict[str, list[Near]]:
        """The examples of each skill that can serve the request, and of small talk, the likest first."""
        scores: dict[str, Scores] = {}
        nearest: dict[str, list[Near]] = {}
        for name in ("", *understood):
            text = _mask(self._skills[name], query) if name else query
            if text not in scores:
                scores[text] = self._index.scores(text)
            nearest[name] = self._index.nearest(scores[text], self._own[name])
        return nearest

    def _shares(self, near: Sequence[Near]) -> dict[str, float]:
        """Each skill's share of the votes; the empty name is small talk."""
        votes: dict[str, float] = {}
        for one in near:
            name = self._examples[one.place].skill
            votes[name] = votes.get(name, 0.0) + one.score
        total = sum(votes.values()) or 1.0
        return {name: vote / total for name, vote in votes.items()}

    def _proposal(self, name: str, score: float, near: Sequence[Near], understood: Understood) -> Ranked:
        readings = tuple(
            Reading(
                argument=argument,
                values=tuple(values),
                log_weights=self._weights(argument, near, understood),
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

    def _weights(self, argument: str, near: Sequence[Near], understood: Understood) -> tuple[float, ...]:
        """For each value, the logarithm of its kind's share among the nearest examples, and what its reader says."""
        own = tuple(understood.log_weights.get(argument, ()))
        kinds = understood.kinds.get(argument, ())
        if not kinds:
            return own
        shares: defaultdict[str, float] = defaultdict(float)
        fitting = [one for one in near if self._examples[one.place].kinds.get(argument) in set(kinds)]
        for one in fitting[:PRIOR_VOTERS]:
            shares[self._examples[one.place].kinds[argument]] += one.score**2
        total = sum(shares.values()) + PRIOR_SMOOTHING * len(set(kinds))
        weights = [PRIOR_WEIGHT * math.log((shares[kind] + PRIOR_SMOOTHING) / total) for kind in kinds]
        return tuple(weight + more for weight, more in zip(weights, own or [0.0] * len(weights), strict=True))


# A reader is a help, and may be anybody's: one that fails is logged, and its skill competes by its examples alone.


def _understand(skill: AnySkill, query: str) -> Understood | None:
    """What a skill reads in the request; None where it cannot serve it."""
    try:
        understood = skill.reader.read(query)
        if understood is not None:
            _check(understood)
    except Exception:
        logger.warning("skill %s could not read the request", skill.spec.name, exc_info=True)
        return Understood(request=query)
    return understood


def _check(understood: Understood) -> None:
    """Kinds and weights must go with the values."""
    for field in (understood.kinds, understood.log_weights):
        for argument, given in field.items():
            values = understood.values.get(argument, ())
            if len(given) != len(values):
                raise ValueError(f"{len(given)} kinds or weights for {len(values)} values of {argument!r}")


def _mask(skill: AnySkill, query: str) -> str:
    try:
        return skill.reader.mask(query)
    except Exception:
        logger.warning("skill %s could not mask the request", skill.spec.name, exc_info=True)
        return query


def _read_example(skill: AnySkill, example: ToolExample) -> ReadExample:
    try:
        return skill.reader.example(example)
    except Exception:
        logger.warning("skill %s could not read its example", skill.spec.name, exc_info=True)
        return ReadExample(shot=example, masked=example.utterance)


def _likest_first(near: Near) -> tuple[float, int]:
    return (-near.score, near.place)


def _floor(sign: float) -> float:
    """How alike the nearest example must be; a sign of 1 outweighs all examples together."""
    if sign >= 1.0:
        return 0.0
    return FLOOR_WITH_SIGN if sign else FLOOR_WITHOUT_SIGN
