"""Erasing a session for good: its runs, what is remembered of them, its name, and what was replied and delivered about it."""

from collections.abc import AsyncIterator

import anyio.to_thread

from agent_api import sessions
from agent_api.access.idempotency import Replies
from agent_api.composition import Agent
from agent_api.errors import SessionBusyError
from agent_api.openai.response_store import ResponseStore
from agent_api.sessions import Sessions
from agent_api.supervisor import LIST_AT_MOST
from agent_core.events import RunDelegated
from agent_memory import Forgetting


async def erase(of: Sessions, session_id: str, replies: Replies) -> int:
    """Erase a session; returns how many runs it had. Broken off, it can be asked for again: its name goes last.

    Raises:
        NotFoundError: there is no such session.
        SessionBusyError: a run of it is not over.
        JournalUnavailableError, MemoryUnavailableError: the storage failed; ask again.
    """
    await of.view(session_id)
    supervisor = of.supervisor
    if session_id in supervisor.erasing:
        raise SessionBusyError(session_id, "is being erased; wait a moment")
    supervisor.erasing.add(session_id)
    try:
        return await _erase(of, session_id, replies)
    finally:
        supervisor.erasing.discard(session_id)


async def _erase(of: Sessions, session_id: str, replies: Replies) -> int:
    agent = of.supervisor.agent
    run_ids = [run_id async for run_id in _over(agent, session_id)]
    delegated = [child for run_id in run_ids async for child in _delegated(agent, run_id)]
    every = (*run_ids, *delegated)
    await agent.journal.forget(session_id=session_id, run_ids=every)
    if agent.memory is not None:
        await agent.memory.long_term.forget(Forgetting(session_id=session_id, run_ids=every))
    if agent.windows is not None:
        await agent.windows.forget(session_id)
    await ResponseStore(agent.data_path).forget(session_id, every)
    await anyio.to_thread.run_sync(replies.forget, (session_id, *every))
    await of.settle()
    await of.records.change(sessions.drop, session_id)
    await of.records.scrub()
    return len(run_ids)


async def _over(agent: Agent, session_id: str) -> AsyncIterator[str]:
    """The runs of a session, all of which must be over."""
    async for head in agent.journal.heads(session_id=session_id, limit=LIST_AT_MOST):
        state = await agent.runner.load(head.run_id)
        if not state.is_over:
            why = f"has the run {head.run_id}, which is not over; cancel it, or wait for its end"
            raise SessionBusyError(session_id, why)
        yield head.run_id


async def _delegated(agent: Agent, run_id: str) -> AsyncIterator[str]:
    """The runs of sub-agents that a run called, and those that these called."""
    async for stored in agent.journal.read(run_id):
        if isinstance(stored.event, RunDelegated):
            yield stored.event.run_id
            async for deeper in _delegated(agent, stored.event.run_id):
                yield deeper
