"""Versions of a domain: each ingest that changes something makes one, by name; listed, compared and taken back."""

from collections.abc import Iterable

import msgspec

from agent_memory.errors import KnowledgeVersionError
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.writer import BatchingWriter

KEPT = 20
"""So many versions are kept; older ones go, and their space with the next upkeep but one."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A state of a domain that can be gone back to."""

    name: str
    made_at: float
    """Seconds since the epoch."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What a later version has that an earlier one has not, source by source."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


async def marked(table: LanceTable) -> str:
    """Give the latest version a name, and let the oldest go."""
    number = await table.version()
    name = f"v{number}"
    marks = await table.marks()
    if name not in marks:
        await table.mark(name)
    for old in sorted(marks, key=marks.__getitem__)[: max(0, len(marks) + 1 - KEPT)]:
        await table.unmark(old)
    return name


async def listed(table: LanceTable) -> list[Version]:
    """The versions that have a name, the oldest first."""
    marks, times = await table.marks(), await table.times()
    return [
        Version(name=name, made_at=times.get(number, 0.0))
        for name, number in sorted(marks.items(), key=lambda item: item[1])
    ]


async def difference(table: LanceTable, domain: str, old: str, new: str | None) -> Difference:
    """What changed from `old` to `new`, or to now.

    Raises:
        KnowledgeVersionError: there is no such version.
    """
    before = await table.digests(await _number(table, domain, old))
    after = await table.digests(None if new is None else await _number(table, domain, new))
    return Difference(
        added=_sorted(source for source in after if source not in before),
        changed=_sorted(source for source in after if before.get(source, after[source]) != after[source]),
        removed=_sorted(source for source in before if source not in after),
    )


async def rolled_back(writer: BatchingWriter, domain: str, name: str) -> str:
    """Make the domain what it was; that is a new version, so it can be taken back too.

    Raises:
        KnowledgeVersionError: there is no such version.
    """
    await writer.restore(await _number(writer.table, domain, name))
    return await marked(writer.table)


async def _number(table: LanceTable, domain: str, name: str) -> int:
    marks = await table.marks()
    if name not in marks:
        raise KnowledgeVersionError(domain, name, sorted(marks, key=marks.__getitem__))
    return marks[name]


def _sorted(sources: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(sources))
