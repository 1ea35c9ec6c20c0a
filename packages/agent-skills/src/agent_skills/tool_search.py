"""Search over many tools: names, descriptions, arguments and examples by BM25, for when too many are there to send all.

`OfferSome` is the router that uses it, and `find_skills` the tool by which a model looks further. Only words are compared;
what a memory learned of tools joins in through `Learned`.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from agent_core.tools import ToolSpec
from agent_skills.decoded import as_list, as_object
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.offers import OfferAll, Ranked, Router
from agent_skills.registry import SkillRegistry
from agent_skills.skill import AnySkill, skill
from agent_skills.value_kinds import kinds_of_values

FINDER = "find_skills"
MOST_SENT = 20
"""So many tools are all sent: models choose well among them."""
OFFERED = 5
K1, B = 2.0, 0.5
WEIGHTS = {"name": 3.0, "description": 1.0, "argument": 1.0, "example": 1.5}
"""How much a word counts by where it stands."""
BEGINNING_CHARS = 5
BEGINNING_WEIGHT = 0.5
"""Words that begin alike are about the same: `convert` and `conversion`, `genetics` and `genetically`."""
NUMBER_WEIGHT = 0.1
"""Most numbers of a request are values for arguments; of two tools that differ by one it decides all the same."""
KIND_WEIGHT = 0.3
"""How much it counts that a tool takes a date where the request holds one."""
PART_WEIGHT = 0.15
"""How much it counts that a tool is the best for a part of the request, as a share of the best for all of it: who wants two
things at once wants the tool for the one that takes fewer words as well.
"""
MIN_WORDS_OF_A_PART, MAX_PARTS = 3, 16
MAX_VALUES = 50
"""Values of an enumeration that are searched."""
MAX_DEPTH = 4
"""Levels of arguments within arguments that are searched."""
LEARNED_WEIGHT = 2.0

Learned: TypeAlias = Callable[[str], Mapping[str, float]]
"""What a memory knows of a request: for names of tools, how often such requests went well with them, 0 to 1."""

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SAYS_NOTHING = """
a able about also an and any anything are as assist at be been being but by can could d did do does for from give had
has have hello help here hey hi how i if in interested into is it just kindly know let like ll looking m may me might
more most my need no not now of on or please re s shall should so some something t tell than thank thanks that the
then there this to too try trying us ve very want was we what when where which who whom why will wish with wondering
would yes you your
"""
_STOP = frozenset(_SAYS_NOTHING.split())
_BETWEEN_PARTS = re.compile(
    r"(?<=[.!?;\n])\s+|,?\s(?:and(?: then| also)?|then|also|after that|finally|second(?:ly)?|third(?:ly)?|next|lastly)\b[,:]?\s",
    re.IGNORECASE,
)
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_SAME_ACTS = {
    "create": "create|add|make|new|set up|open a|insert|register|book",
    "delete": "delete|remove|erase|get rid of|drop|cancel|discard|clear",
    "update": "update|change|edit|modify|set|adjust|rename|replace",
    "list": "list|show|enumerate|overview|display|all|browse",
    "read": "get|read|fetch|look up|retrieve|view|details",
    "search": "search|find|look for|query|locate|filter",
    "send": "send|post|message|notify|mail|forward|publish",
    "export": "export|download|save|dump|back up",
    "run": "run|execute|start|launch|trigger|call",
    "stop": "stop|end|kill|halt|pause|disable",
    "share": "share|invite|grant|give access",
}
"""What people and authors call the same act."""
_PHRASES = re.compile(
    "|".join(rf"\b{verb}\b" for verbs in _SAME_ACTS.values() for verb in verbs.split("|") if " " in verb)
)
_ACTS = {f"act:{act}": re.compile(rf"\b(?:{verbs})(?:s|d|es|ed|ing)?\b") for act, verbs in _SAME_ACTS.items()}


class Found(NamedTuple):
    """A tool that fits."""

    name: str
    score: float


def words(text: str) -> list[str]:
    """The words of a text, without their endings and without those that say nothing; and the acts that they are."""
    plain = _HYPHEN.sub("", _CAMEL.sub(" ", text)).lower().replace("_", " ")
    acts = [act for act, phrases in _ACTS.items() if phrases.search(plain)]
    # The words of a phrase mean nothing by themselves: who wants to get rid of an account wants no `rid`.
    found = [_stem(word) for word in _WORD.findall(_PHRASES.sub(" ", plain)) if word not in _STOP]
    return [*found, *acts]


def _stem(word: str) -> str:
    """A word without the endings that only bend it: `lists`, `listing` and `listed` are one."""
    for ending, rest in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + rest
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _tokens(text: str) -> Iterator[tuple[str, float]]:
    """The words of a text and how they begin, each with what it counts."""
    for word in words(text):
        if word.isdigit():
            yield word, NUMBER_WEIGHT
            continue
        yield word, 1.0
        if len(word) >= BEGINNING_CHARS and ":" not in word:
            yield f"{word[:BEGINNING_CHARS]}-", BEGINNING_WEIGHT


class ToolIndex:
    """Tools that can be searched."""

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self._names = [spec.name for spec in specs]
        counted = [_weighed(spec) for spec in specs]
        lengths = [
            sum(weight for word, weight in counts.items() if not word.endswith("-")) for counts in counted
        ]
        usual = sum(lengths) / len(lengths) if lengths else 1.0
        spread = Counter(word for counts in counted for word in counts)
        self._places: dict[str, list[tuple[int, float]]] = {}
        for place, counts in enumerate(counted):
            norm = K1 * (1 - B + B * lengths[place] / (usual or 1.0))
            for word, weight in counts.items():
                rarity = math.log(1 + (len(specs) - spread[word] + 0.5) / (spread[word] + 0.5))
                self._places.setdefault(word, []).append(
                    (place, rarity * weight * (K1 + 1) / (weight + norm))
                )

    def search(self, query: str, k: int = OFFERED, learned: Mapping[str, float] | None = None) -> list[Found]:
        """The `k` tools that fit best, best first; fewer where fewer share a word with the query."""
        scores = self._scores(query)
        top = max(scores.values(), default=0.0)
        for place, share in self._best_of_parts(query).items():
            scores[place] = scores.get(place, 0.0) + PART_WEIGHT * top * share
        if learned:
            top = max(scores.values(), default=1.0)
            for place, name in enumerate(self._names):
                if learned.get(name):
                    scores[place] = scores.get(place, 0.0) + LEARNED_WEIGHT * top * learned[name]
        best = sorted(scores, key=lambda place: (-scores[place], place))
        return [Found(self._names[place], scores[place]) for place in best[:k]]

    def _scores(self, text: str) -> dict[int, float]:
        """BM25 of the tools that share a word with a text."""
        asked = dict(_tokens(text))
        for kind in kinds_of_values(text):
            for word in words(kind):
                asked[word] = max(asked.get(word, 0.0), KIND_WEIGHT)
        scores: dict[int, float] = {}
        for word, weight in asked.items():
            for place, score in self._places.get(word, ()):
                scores[place] = scores.get(place, 0.0) + weight * score
        return scores

    def _best_of_parts(self, query: str) -> dict[int, float]:
        """For each tool the share, 0 to 1, that it has of the best score for the part of a request that it fits best."""
        parts = [part for part in _BETWEEN_PARTS.split(query) if len(words(part)) >= MIN_WORDS_OF_A_PART]
        shares: dict[int, float] = {}
        for part in parts[:MAX_PARTS] if len(parts) > 1 else ():
            scores = self._scores(part)
            top = max(scores.values(), default=0.0)
            for place, score in scores.items():
                shares[place] = max(shares.get(place, 0.0), score / top)
        return shares


def _weighed(spec: ToolSpec) -> dict[str, float]:
    counts: dict[str, float] = {}
    for field, text in _fields(spec):
        for word, weight in _tokens(text):
            if word.isdigit() and field != "name":  # a year in an example says nothing of what the tool does
                continue
            counts[word] = counts.get(word, 0.0) + WEIGHTS[field] * weight
    return counts


def _fields(spec: ToolSpec) -> Iterator[tuple[str, str]]:
    yield "name", spec.name
    yield "description", spec.description
    for text in _arguments(spec.parameters, 0):
        yield "argument", text
    for example in spec.examples:
        yield "example", example.utterance


def _arguments(schema: Mapping[str, object], depth: int) -> Iterator[str]:
    """The names, descriptions and values of arguments, and of those within them."""
    for name, one in as_object(schema.get("properties")).items():
        inner = as_object(one)
        items = as_object(inner.get("items"))
        values = [*as_list(inner.get("enum")), *as_list(items.get("enum"))][:MAX_VALUES]
        yield " ".join([name, str(inner.get("description", "")), *(str(value) for value in values)])
        if depth < MAX_DEPTH:
            yield from _arguments(inner, depth + 1)
            yield from _arguments(items, depth + 1)


class OfferSome:
    """Offers all tools where they are few; of many the fittest, those that are always there, and `find_skills`."""

    def __init__(
        self,
        skills: Sequence[AnySkill],
        *,
        always: Sequence[str] = (FINDER,),
        offered: int = OFFERED,
        learned: Learned | None = None,
    ) -> None:
        """`always` names what is offered whatever the request, `offered` is how many of many; `learned` what a memory knows."""
        self._names = [one.spec.name for one in skills]
        self._always = [name for name in always if name in self._names]
        self._index = ToolIndex([one.spec for one in skills])
        self._offered = offered
        self._learned = learned

    def rank(self, query: str) -> Sequence[Ranked]:
        """The tools to offer, best first; none is proposed."""
        most = max(MOST_SENT, self._offered)
        found = self._index.search(query, most, self._learned(query) if self._learned else None)
        best = found[0].score if found else 1.0
        if len(self._names) <= MOST_SENT:
            scores = {one.name: one.score / best for one in found}
            return [
                Ranked(name, scores.get(name, 0.0))
                for name in sorted(self._names, key=lambda n: -scores.get(n, 0.0))
            ]
        offered = [
            Ranked(one.name, one.score / best)
            for one in found[: self._offered]
            if one.name not in self._always
        ]
        return [*offered, *(Ranked(name) for name in self._always)]


def some_of_many(
    skills: Sequence[AnySkill], *, most: int, offered: int, learned: Learned | None = None
) -> Router:
    """A router for a model that reads tools by itself. Up to `most` it is offered all of them, always in the same order: its
    provider caches the beginning of its prompt. Of more it is offered the `offered` fittest, and `find_skills`: the same at
    every turn of a run, as the request is the same.
    """
    others = [one for one in skills if one.spec.name != FINDER]
    if len(others) <= most:
        return OfferAll(others)
    return OfferSome(skills, offered=offered, learned=learned)


class FinderPlugin:
    """Brings `find_skills`, by which a model that was offered some tools finds the others, which are offered from then on."""

    def __init__(self, registry: SkillRegistry) -> None:
        self._registry = registry
        self._index = ToolIndex(())
        self._revision = -1

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register `find_skills`."""
        made = skill(name=FINDER, idempotent=True, timeout_s=5.0)(self.find)
        made.spec = msgspec.structs.replace(made.spec, finds_tools=True)
        register(made)

    async def find(self, query: str) -> list[dict[str, object]]:
        """Find tools by what they do. Any tool that is found can be called.

        Args:
            query: What the tool should do, in a few words.
        """
        if self._revision != self._registry.revision:
            self._revision = self._registry.revision
            self._index = ToolIndex([one.spec for one in self._registry.skills()])
        found = (self._registry.get(one.name) for one in self._index.search(query, OFFERED + 1))
        specs = [one.spec for one in found if one is not None and one.spec.name != FINDER][:OFFERED]
        return [
            {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
            for spec in specs
        ]
