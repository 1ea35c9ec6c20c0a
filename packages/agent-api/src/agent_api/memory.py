"""The long-term memory of one tenant: where it lies, and the functions behind the skills `remember` and `recall`."""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.from_thread

from agent_core.errors import AgentError, ConfigurationError
from agent_core.ports import ToolContext
from agent_memory import LongTermMemory
from agent_skills.tool_search import Learned

if TYPE_CHECKING:
    from agent_memory import SkillMemory, TenantMemory, Tenants

logger = logging.getLogger("agentd")

_OWNER = "own"
"""Tenants are kept apart by their data folders: in each there is one."""
_NOTED = 0.8
"""How important is what somebody asked to remember; what is merely said has 0.5."""


def has_memory(data_path: Path) -> bool:
    """Whether anything was ever kept there."""
    return _tenants(data_path).folder(_OWNER).is_dir()


@asynccontextmanager
async def open_memory(data_path: Path) -> "AsyncGenerator[TenantMemory]":
    """What is kept in a tenant's data folder, or a beginning.

    Raises:
        MemoryUnavailableError: a file cannot be opened.
        EmbedderMismatchError: its vectors are of another embedder.
    """
    async with await _tenants(data_path).open(_OWNER) as memory:
        yield memory


async def restore_memory(data_path: Path, folder: Path) -> int:
    """Import what an export has but for knowledge bases into a memory that holds nothing yet; returns how many rows.

    Raises:
        ImportFormatError: it is no export, or something is remembered already.
        MemoryUnavailableError: a file cannot be written.
    """
    return await _tenants(data_path).restore(_OWNER, folder, knowledge=False)


def _tenants(data_path: Path) -> "Tenants":
    from agent_memory import StaticEmbedder, Tenants  # noqa: PLC0415  # numpy

    return Tenants(data_path / "memory", embedder=StaticEmbedder())


def proven_by(skills: "SkillMemory") -> Learned:
    """What ways that worked say of the tools for a request: the shares of their uses that went well.

    To be asked in a worker thread of anyio's, as routers are.
    """

    def proven(request: str) -> Mapping[str, float]:
        try:
            patterns = anyio.from_thread.run(skills.patterns, request)
        except AgentError as error:
            logger.warning("what was learned of skills is not asked: %s", error)
            return {}
        shares: dict[str, float] = {}
        for one in patterns:
            for step in one.steps:
                shares[step.tool] = max(shares.get(step.tool, 0.0), one.wins / (one.wins + one.losses))
        return shares

    return proven


class Notes:
    """What the skills ask for. None: nothing is open; the skills can be listed, and not called."""

    def __init__(self, memory: LongTermMemory | None) -> None:
        self._memory = memory

    async def remember(self, text: str, context: ToolContext) -> None:
        """Keep a text; the same call twice keeps it once."""
        await self._opened().add(
            text,
            session_id=context.session_id,
            speaker="note",
            importance=_NOTED,
            run_id=context.run_id,
            key=context.idempotency_key,
        )

    async def recall(self, query: str, count: int, context: ToolContext) -> Sequence[str]:
        """Facts first, then what was said or noted, best first; not what this very run says."""
        memory = self._opened()
        facts = [hit.text for hit in await memory.search_facts(query, k=count)]
        found = await memory.search(query, k=2 * count)
        said = [hit.text for hit in found if getattr(hit.item, "run_id", "") != context.run_id]
        return list(dict.fromkeys((*facts, *said)))[:count]

    def _opened(self) -> LongTermMemory:
        if self._memory is None:
            raise ConfigurationError("no long-term memory is open")
        return self._memory
