"""The vectors of passages: what they are made of, and whether those of a table are of the embedder at hand."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agent_core.ports import Embedder
from agent_memory.errors import EmbedderMismatchError
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.rows import Unit, as_array


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


def check_embedder(where: str, domain: Domain, recorded: Mapping[str, str], embedder: Embedder) -> None:
    """That the vectors at `where` are of `embedder`.

    Raises:
        EmbedderMismatchError: they are of another one; the message says how to go on.
    """
    if not is_of(recorded, embedder):
        raise EmbedderMismatchError(
            where,
            f"{recorded.get('embedder')} ({recorded.get('dimensions')})",
            f"{embedder.name} ({embedder.dimensions})",
            f"open it with that embedder, or embed again with this one: `await kb.reembed({domain.name!r})`",
        )


def is_of(recorded: Mapping[str, str], embedder: Embedder) -> bool:
    """Whether the vectors of a table that records this of itself are of `embedder`."""
    given = {"embedder": embedder.name, "dimensions": str(embedder.dimensions)}
    return all(recorded.get(name) == value for name, value in given.items())
