"""The vectors of passages: made with an embedder when they are written, and all anew with another one."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent_core.ports import Embedder
from agent_memory.errors import EmbedderMismatchError
from agent_memory.knowledge import rows
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.index import LanceTable, LanceTables
from agent_memory.knowledge.rows import Unit, as_array, batch

_AT_ONCE = 2_048
_READ_AT_ONCE = 4_096


async def unit_vectors(embedder: Embedder, units: Sequence[Unit]) -> NDArray[np.float32]:
    """What a unit says it is about, and all that it says, in equal parts: float32 [units, dimensions].

    Raises:
        ModelUnavailableError: the embedder failed.
    """
    texts = as_array(await embedder.embed([unit.text for unit in units]))
    leads = as_array(await embedder.embed([unit.lead for unit in units]))
    both = texts + leads
    lengths = np.linalg.norm(both, axis=1, keepdims=True)
    np.divide(both, lengths, out=both, where=lengths > 0)
    return both


async def embedded_again(tables: LanceTables, old: LanceTable, domain: Domain, embedder: Embedder) -> int:
    """Put vectors of `embedder` in the place of a table's, in one commit; `old` is closed. Returns how many.

    Raises:
        ModelUnavailableError: the embedder failed; nothing has changed.
        KnowledgeUnavailableError: the storage failed.
    """
    made = [
        unit
        async for part in old.batches(_READ_AT_ONCE, without=["vector"])
        for unit in rows.units(part.to_pylist())
    ]
    layout = rows.schema(domain, dimensions=embedder.dimensions, embedder=embedder.name)
    starts = range(0, len(made), _AT_ONCE)
    parts = [
        batch(some, await unit_vectors(embedder, some), layout)
        for some in (made[start : start + _AT_ONCE] for start in starts)
    ]
    old.close()
    await tables.overwrite(domain, rows.together(parts, layout))
    return len(made)


def check_embedder(where: str, domain: Domain, recorded: Mapping[str, str], embedder: Embedder) -> None:
    """That the vectors at `where` are of `embedder`.

    Raises:
        EmbedderMismatchError: they are of another one; the message says how to go on.
    """
    given = {"embedder": embedder.name, "dimensions": str(embedder.dimensions)}
    if any(recorded.get(name) != value for name, value in given.items()):
        raise EmbedderMismatchError(
            where,
            f"{recorded.get('embedder')} ({recorded.get('dimensions')})",
            f"{given['embedder']} ({given['dimensions']})",
            f"open it with that embedder, or embed again with this one: `await kb.reembed({domain.name!r})`",
        )
