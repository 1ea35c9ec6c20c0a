"""What each domain is like, by its description and what is in it: made once for every version of its table."""

import numpy as np
from numpy.typing import NDArray

from agent_core.ports import Embedder
from agent_memory.knowledge.domains import Domain
from agent_memory.knowledge.index import LanceTable
from agent_memory.knowledge.routing import profile
from agent_memory.knowledge.rows import as_array

_ROWS = 2_000
"""So many say what a domain is like."""


class Profiles:
    """The profiles of one knowledge base."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: dict[str, tuple[int, NDArray[np.float32]]] = {}

    async def of(self, domain: Domain, table: LanceTable) -> NDArray[np.float32]:
        """What a domain is like, float32 [dimensions].

        Raises:
            ModelUnavailableError: the embedder failed.
            KnowledgeUnavailableError: the storage failed.
        """
        version = await table.version()
        kept = self._kept.get(domain.name)
        if kept is None or kept[0] != version:
            described = await self._embedder.embed([f"{domain.name}: {domain.description}"])
            made = profile(as_array(described)[0], await table.sample(_ROWS))
            kept = self._kept[domain.name] = version, made
        return kept[1]
