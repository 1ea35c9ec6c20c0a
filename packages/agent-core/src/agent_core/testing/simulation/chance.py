"""Draws of a seed. A stream of its own for each part of the world, so that one more draw here changes nothing there."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Random draws that are the same for the same seed and name."""

    def __init__(self, seed: int, name: str = "") -> None:
        self._seed = seed
        self._random = random.Random(f"{seed}/{name}")  # noqa: S311  # a game of chance, not a secret
        self.fraction: Callable[[], float] = self._random.random
        """A number from 0 to below 1."""

    def stream(self, name: str) -> "Chance":
        """The draws of another part of the world."""
        return Chance(self._seed, name)

    def happens(self, probability: float) -> bool:
        """True so often."""
        return self.fraction() < probability

    def between(self, low: float, high: float) -> float:
        """A number in the range."""
        return low + (high - low) * self.fraction()

    def count(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int((high - low + 1) * self.fraction())

    def one_of(self, items: Sequence[T]) -> T:
        """One of them, each as likely as the others."""
        return items[int(len(items) * self.fraction())]

    def weighted(self, weights: dict[str, float]) -> str:
        """One of the keys, by their weights."""
        left = self.fraction() * sum(weights.values())
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return next(reversed(weights))
