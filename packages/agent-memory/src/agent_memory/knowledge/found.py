"""What a search of a table found, and rows as they are read. Knows Arrow; nothing of storage."""

from typing import NamedTuple

from agent_memory.knowledge.rows import ArrowTable, Shown, shown


class Found(NamedTuple):
    """What a search found."""

    hits: list[tuple[int, float]]
    """Keys of rows with a score, best first."""
    places: dict[int, int]
    """Where LanceDB has the row of each key: good until the table is put in order, so what is read there is checked."""


def as_found(found: ArrowTable, score: str) -> Found:
    """The rows of a search with the columns `key`, `score` and `_rowid`, in their order."""
    keys: list[int] = found["key"].to_pylist()
    hits = list(zip(keys, found[score].to_pylist(), strict=True))
    return Found(hits, dict(zip(keys, found["_rowid"].to_pylist(), strict=True)))


def by_key(found: ArrowTable) -> dict[int, Shown]:
    """Rows with the columns `SHOWN`."""
    return {row.card.key: row for row in shown(found.to_pylist())}
