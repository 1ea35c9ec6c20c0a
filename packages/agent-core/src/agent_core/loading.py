"""From a journal to the state of a run, by way of its last snapshot where there is one."""

from contextlib import suppress

from agent_core.adapters import Adapters
from agent_core.errors import JournalUnavailableError, RunNotFoundError
from agent_core.ports import Snapshots
from agent_core.snapshot import SNAPSHOT_EVERY, pack, unpack
from agent_core.state import RunState
from agent_core.transitions import evolve


async def load(adapters: Adapters, run_id: str) -> RunState:
    """The state of a run.

    Raises:
        RunNotFoundError: the journal knows no such run.
    """
    state = await _kept(adapters, run_id) or RunState(run_id=run_id)
    async for stored in adapters.journal.read(run_id, after=state.seq):
        state = evolve(state, stored.event)
    if state.seq == 0:
        raise RunNotFoundError(run_id)
    return state


async def _kept(adapters: Adapters, run_id: str) -> RunState | None:
    kept = await adapters.snapshots.load_snapshot(run_id) if adapters.snapshots is not None else None
    return None if kept is None else unpack(kept[1])


async def keep(snapshots: Snapshots, state: RunState, before: int) -> None:
    """Keep the state of a run that rests, if a multiple of `SNAPSHOT_EVERY` was passed since event number `before`.

    By multiples and not by how much was done at once: a run that waits for a person every few events grows long as well.
    """
    if state.seq // SNAPSHOT_EVERY > before // SNAPSHOT_EVERY:
        with suppress(JournalUnavailableError):  # a shortcut that is missing loses nothing
            await snapshots.save_snapshot(state.run_id, state.seq, pack(state))
