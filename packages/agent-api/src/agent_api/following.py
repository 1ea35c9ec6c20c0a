"""A run as it goes on: every event of its journal once and in order, with the deltas between them. For whoever tells it in other words."""

from collections.abc import AsyncIterator

import anyio

from agent_api.broadcast import PING_S
from agent_api.openai.talk import WAITING, Waiting
from agent_api.supervisor import Supervisor
from agent_core.chat import Delta
from agent_core.feed import Feed
from agent_core.planning import ASKED
from agent_core.ports import StoredEvent
from agent_core.state import RunState
from agent_core.transitions import evolve


async def followed(
    supervisor: Supervisor, run_id: str
) -> AsyncIterator[tuple[StoredEvent | Delta | Waiting, RunState]]:
    """Every event of a run once, and deltas between them, each with the state behind it; ends when nobody drives the run."""
    state = RunState(run_id=run_id)
    journal = supervisor.agent.journal
    with supervisor.broadcast.watching(run_id) as feed:
        while True:
            is_driven = supervisor.is_driven_here(run_id)
            async for stored in journal.read(run_id, after=state.seq):
                state = evolve(state, stored.event)
                yield stored, state
            if state.is_over or not is_driven or supervisor.broadcast.is_shut_down:
                return
            while (item := await _next(feed)) is not None:
                if not isinstance(item, StoredEvent):
                    yield item, state
                elif item.seq == state.seq + 1:
                    state = evolve(state, item.event)
                    yield item, state
                elif item.seq > state.seq:
                    break  # a gap: the journal knows


async def _next(feed: Feed) -> StoredEvent | Delta | Waiting | None:
    """The next item; None: the feed is closed."""
    with anyio.move_on_after(PING_S):
        try:
            return await anext(feed)
        except StopAsyncIteration:
            return None
    return WAITING


def asked_of_a_person(state: RunState) -> str:
    """What the people that a run waits for are asked."""
    questions = [call.question for call in state.calls.values() if call.status == ASKED]
    return "\n".join(questions) or f"run {state.run_id} waits for a person"
