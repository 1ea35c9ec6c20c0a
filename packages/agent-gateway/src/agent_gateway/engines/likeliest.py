"""The likeliest of several texts, found by best-first search in few questions. Pure: it says where to look next and
is told what the model thinks there.

Greedy decoding under a grammar commits to the first token ('19' or '56') before the operation is known, and is wrong
far more often. One greedy way through a grammar shows, beside its own tokens, the likelihood of every branch that it
left; the best branch is followed until none can beat the best whole value. Likelihoods are the model's own, before
the grammar, so they compare across branches; no logarithm and no weight is positive, so the score of a beginning
bounds what it can come to.

A value's likelihood is that of its likeliest division into tokens, with the newline behind it: a value that begins
another does not win by being short.
"""

import heapq
import math
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

_END = b"\n"
_Rank: TypeAlias = tuple[float, int]
"""A score and, where scores are equal, the value's place in the list, negated: the greater rank wins."""


class Token(msgspec.Struct):
    """One token as llama.cpp tells of it.

    A token that completes a character comes with the bytes of the whole character, of which the tokens before it are
    not told of at all; its own bytes are those under its `token_id` in `top_logprobs`.
    """

    token_id: int = msgspec.field(name="id", default=-1)
    octets: list[int] = msgspec.field(name="bytes", default_factory=list[int])
    logprob: float = 0.0
    top_logprobs: list["Token"] = []

    @property
    def text(self) -> bytes:
        """Its bytes; not always whole characters."""
        return bytes(self.octets)

    @property
    def is_merged(self) -> bool:
        """Whether it stands, or may stand, for several tokens."""
        own = next((other for other in self.top_logprobs if other.token_id == self.token_id), None)
        return not self.text.isascii() if own is None else own.octets != self.octets


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere in a value where the model may be asked: behind `base`, whole characters, and the tokens `tail`."""

    base: bytes
    text: bytes
    """The bytes of both."""
    score: float
    tail: tuple[int, ...] = ()
    alone: bool = False
    """Look at this place only, not along the way from it: a character here is made of several tokens."""
    among: tuple[bytes, ...] = ()
    """Look for these ends only, which begin with none of the tokens that were shown here; empty: for all."""


class Likeliest:
    """One search. Ask the model at `next_place` and tell it with `learn`, until there is none or patience ends."""

    def __init__(self, values: Sequence[str], log_weights: Sequence[float] = ()) -> None:
        """Raises `ValueError` where there are no values, or not one weight of at most 0 for each."""
        if not values:
            raise ValueError("a choice needs at least one value")
        weights = log_weights or (0.0,) * len(values)
        if len(weights) != len(values) or not all(weight <= 0 for weight in weights):
            raise ValueError("a choice needs one weight of at most 0 for each of its values, or none at all")
        self._ends: dict[bytes, _Rank] = {}
        for index, (value, weight) in enumerate(zip(values, weights, strict=True)):
            end = value.encode() + _END
            self._ends[end] = max((weight, -index), self._ends.get(end, (-math.inf, -index)))
        self._best: tuple[_Rank, bytes] | None = None
        first = values[0].encode() + _END
        self._guess: tuple[_Rank, bytes] = ((-math.inf, 0), first)
        self._is_over = self._has_lost = False
        self._seen: dict[tuple[bytes, bool, tuple[bytes, ...]], float] = {}
        self._open: list[tuple[float, int, int, Place]] = []
        self._pushed = 0
        self._push(Place(base=b"", text=b"", score=0.0))

    def next_place(self) -> Place | None:
        """Where the best value may still be hidden; None when it is found."""
        while self._open:
            cost, index, _, place = heapq.heappop(self._open)
            if self._best is not None and (-cost, -index) <= self._best[0]:
                break
            key = (place.text, place.alone, place.among)
            if self._seen.get(key, -math.inf) < place.score:
                self._seen[key] = place.score
                return place
        self._is_over = True
        return None

    def rest(self, place: Place) -> list[str]:
        """What may follow at a place of whole characters."""
        ends = place.among or self._ahead(place.text)
        return [end[len(place.text) :].decode() for end in ends]

    def learn(self, place: Place, tokens: Sequence[Token]) -> None:
        """Take what the model thinks at `place`: of the next token if it is `alone`, else of those along the way."""
        if place.alone:
            for token in tokens[:1]:
                self._branches(place, token)
                self._has_lost |= bool(self._not_shown(place, token))
            return
        score, text = place.score, place.text
        exact = True
        for token in tokens:
            if not token.octets:  # the model was allowed to end here, and did
                break
            if exact and token.is_merged:
                self._push(Place(base=text, text=text, score=score, alone=True))
                exact = False
            if exact:
                among = place.among if text == place.text else ()
                here = Place(base=text, text=text, score=score, among=among)
                self._seen[text, False, among] = max(score, self._seen.get((text, False, among), -math.inf))
                self._branches(here, token, taken=token.text)
                self._hidden(here, token)
                score += token.logprob
                self._whole(text + token.text, score)
            else:  # of its first tokens nothing is known: that they are no likelier than any that was shown is a guess
                score += min([token.logprob, *(other.logprob for other in token.top_logprobs)])
            text += token.text
        if exact:
            self._push(Place(base=text, text=text, score=score))
        elif text in self._ends:
            weight, index = self._ends[text]
            self._guess = max(self._guess, ((score + weight, index), text))

    @property
    def has_found(self) -> bool:
        """Whether a value was reached, be it the best or not."""
        return self._best is not None

    def answer(self) -> str:
        """The best value that was found; where the search was not ended, a likely one may count as found."""
        if self._best is None:
            found = self._guess[1]
        elif self._is_over and not self._has_lost:
            found = self._best[1]
        else:
            found = max(self._best, self._guess)[1]
        return found.removesuffix(_END).decode()

    def _branches(self, place: Place, token: Token, *, taken: bytes = b"") -> None:
        for other in {one.token_id: one for one in (*token.top_logprobs, token)}.values():
            if not other.octets or other.text == taken:
                continue
            text, score = place.text + other.text, place.score + other.logprob
            self._whole(text, score)
            if _is_whole(text):
                self._push(Place(base=text, text=text, score=score))
            else:
                tail = (*place.tail, other.token_id)
                self._push(Place(base=place.base, text=text, score=score, tail=tail, alone=True))

    def _hidden(self, place: Place, token: Token) -> None:
        """The ends behind none of the tokens that were shown, each less likely than any of those."""
        if not token.top_logprobs:
            return
        hidden = self._not_shown(place, token)
        least = min(other.logprob for other in token.top_logprobs)
        if hidden:
            rank = max((place.score + least + self._ends[end][0], self._ends[end][1]) for end in hidden)
            self._queue(rank, msgspec.structs.replace(place, among=hidden))

    def _not_shown(self, place: Place, token: Token) -> tuple[bytes, ...]:
        shown = [place.text + other.text for other in (*token.top_logprobs, token) if other.octets]
        ends = place.among or self._ahead(place.text)
        return tuple(end for end in ends if not any(end.startswith(text) for text in shown))

    def _whole(self, text: bytes, score: float) -> None:
        """Note a value that was reached."""
        if text in self._ends:
            weight, index = self._ends[text]
            rank = (score + weight, index)
            if self._best is None or rank > self._best[0]:
                self._best = (rank, text)

    def _push(self, place: Place) -> None:
        ahead = self._ahead(place.text)
        if ahead:
            self._queue(max((place.score + self._ends[end][0], self._ends[end][1]) for end in ahead), place)

    def _queue(self, bound: _Rank, place: Place) -> None:
        self._pushed += 1
        heapq.heappush(self._open, (-bound[0], -bound[1], self._pushed, place))

    def _ahead(self, text: bytes) -> list[bytes]:
        """The ends that go on behind `text`."""
        return [end for end in self._ends if len(end) > len(text) and end.startswith(text)]


def _is_whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
