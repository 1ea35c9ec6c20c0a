"""An append-only sequence whose versions share storage, so that a step costs the same at turn 200 as at turn 2."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import ClassVar, Generic, TypeVar, cast, overload

T = TypeVar("T")
_new = object.__new__


class History(Sequence[T], Generic[T]):
    """An immutable sequence with a cheap `extended`.

    Versions that descend from one another share one list, and each knows how much of it is its own. Only the newest
    version may grow the list in place; an older one that is extended (a fork) copies its part first.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._items: list[T] = list(items)
        self._length = len(self._items)

    def extended(self, *new: T) -> "History[T]":
        """A version with `new` at its end; this one is unchanged."""
        items, length = self._items, self._length
        if len(items) != length:
            items = items[:length]
        items += new
        newer: History[T] = _new(History)  # pyright: ignore[reportUnknownVariableType]  # a cast is a call
        newer._items = items
        newer._length = len(items)
        return newer

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        length = self._length
        if isinstance(index, slice):
            return self._items[:length][index]
        if index < 0:
            index += length
        if 0 <= index < length:
            return self._items[index]
        raise IndexError(index)

    def __iter__(self) -> Iterator[T]:
        return islice(self._items, self._length)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return list(self) == list(cast("History[object]", other))

    __hash__: ClassVar[None]  # type: ignore[assignment]  # like list: compared by content, which may be long

    def __repr__(self) -> str:
        return f"History({self._items[: self._length]!r})"
