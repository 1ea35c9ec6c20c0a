"""In which order routes are tried for one request. Pure: chance is an argument."""

import hashlib
import math
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from agent_core.chat import ModelRequest

_TWO_TO_64 = float(1 << 64)


class Balance(StrEnum):
    """Who is asked first; the others are fallbacks, in the order given."""

    ORDERED = "ordered"
    """As written: the first as long as it can."""
    WEIGHTED = "weighted"
    """By chance, in proportion to the weights."""
    LEAST_BUSY = "least_busy"
    """Who has the fewest requests under way for its weight."""
    STICKY = "sticky"
    """A session stays with one route, whose prompt cache then holds its conversation. By rendezvous hashing: a route
    that comes or goes moves only the sessions that it wins or loses, and nothing has to be remembered."""


class Candidate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A route as far as the order depends on it."""

    name: str
    weight: float = 1.0
    in_flight: int = 0


def order(
    balance: Balance, candidates: Sequence[Candidate], *, key: str, chance: Callable[[], float]
) -> list[int]:
    """The places of the candidates, the first to be asked first.

    Args:
        balance: By what.
        candidates: The routes; weights above 0.
        key: What stays together under `STICKY`; empty: nothing is known, and the least busy comes first.
        chance: A random number from 0 up to 1, each time another.
    """
    places = list(range(len(candidates)))
    match balance:
        case Balance.ORDERED:
            return places
        case Balance.WEIGHTED:
            # Efraimidis and Spirakis (2006): sorting by chance ** (1 / weight) draws without putting back.
            drawn = [math.log(1.0 - chance()) / one.weight for one in candidates]
            return sorted(places, key=lambda place: -drawn[place])
        case Balance.STICKY if key:
            scores = [_rendezvous(key, one) for one in candidates]
            return sorted(places, key=lambda place: -scores[place])
        case Balance.LEAST_BUSY | Balance.STICKY:
            return sorted(
                places, key=lambda place: (candidates[place].in_flight + 1) / candidates[place].weight
            )


def sticky_key(request: ModelRequest) -> str:
    """What keeps a conversation together: its session, else the beginning of its prompt, which a prompt cache goes by."""
    context = request.context
    if context.session_id:
        return f"{context.tenant}\n{context.session_id}"
    words: list[str] = [tool.name for tool in request.tools]
    for message in request.messages:
        words.append(message.text)
        if message.role == "user":
            break
    return "\n".join(words)


def _rendezvous(key: str, candidate: Candidate) -> float:
    """The score of a candidate for a key; with weights by the logarithm method (Schindelhauer and Schomaker, 2005)."""
    digest = hashlib.blake2b(f"{candidate.name}\0{key}".encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 0.5) / _TWO_TO_64
    return -candidate.weight / math.log(share)
