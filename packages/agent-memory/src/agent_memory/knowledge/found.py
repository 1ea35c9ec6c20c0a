"""What a search of a table found, and rows as they are read. Knows Arrow; nothing of storage."""

from typing import TypeAlias

from agent_memory.knowledge.rows import ArrowTable, Shown, shown

Hits: TypeAlias = list[tuple[int, float]]
"""Places of rows with a score, best first. A place (`_rowid`: fragment and number) is one row for ever, or none: LanceDB
gives no fragment's number twice, so a row that was moved or deleted meanwhile is missing and never another."""


def as_hits(found: ArrowTable, score: str) -> Hits:
    """The rows of a search with the columns `_rowid` and `score`, in their order."""
    return list(zip(found["_rowid"].to_pylist(), found[score].to_pylist(), strict=True))


def by_place(found: ArrowTable) -> dict[int, Shown]:
    """Rows with the columns `_rowid` and `SHOWN`."""
    return dict(zip(found["_rowid"].to_pylist(), shown(found.to_pylist()), strict=True))
