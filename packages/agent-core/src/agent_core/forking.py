"""New runs out of old ones, and where two part: what `Runner.fork` and `Runner.diverge` do with a journal."""

from collections.abc import Sequence

from msgspec.structs import replace

from agent_core import divergence, planning
from agent_core import events as ev
from agent_core.divergence import Divergence
from agent_core.errors import ConfigurationError, RunNotFoundError
from agent_core.messages import Message, user
from agent_core.ports import Journal
from agent_core.state import RunState
from agent_core.transitions import replay


async def fork(
    journal: Journal,
    run_id: str,
    at_seq: int,
    new_id: str,
    *,
    prompt: str | Message | None,
    then: Sequence[ev.Event],
    writer: str,
    at: float,
) -> None:
    """Journal a run that begins with the first `at_seq` events of another, at the time `at`; see `Runner.fork`.

    A call that was allowed in the other run and is not made yet is asked about again: that was for making it once.
    """
    events = await _events(journal, run_id)
    if not 0 < at_seq <= len(events):
        raise RunNotFoundError(f"{run_id} at event {at_seq}")
    events = events[:at_seq]
    if prompt is not None:
        events[0] = _with_input(events, prompt)
    allowed = _allowed(replay(new_id, events))
    state = replay(new_id, [*events, *then])  # refuses what does not fit, before anything is written
    asked = [
        ev.ApprovalRequested(at=at, tool_call_id=key, reason=f"it was allowed in {run_id}, not in this run")
        for key in sorted(allowed & _allowed(state))
    ]
    if prompt is None and not then and not asked:
        await journal.fork(run_id, at_seq, new_id)  # as it stands, byte for byte
    else:  # at once: half of it would be another run, which somebody may take up
        await journal.append(new_id, 0, [*events, *then, *asked], writer=writer)


def _allowed(state: RunState) -> set[str]:
    """The calls that a person allowed and that have not begun."""
    return {key for key, call in state.calls.items() if call.approved and call.status is planning.OPEN}


async def diverge(journal: Journal, run_id: str, other_id: str) -> Divergence:
    """Where two runs part; see `Runner.diverge`."""
    left, right = await _events(journal, run_id), await _events(journal, other_id)
    for one, found in ((run_id, left), (other_id, right)):
        if not found:
            raise RunNotFoundError(one)
    return divergence.diverge(left, right)


async def _events(journal: Journal, run_id: str) -> list[ev.Event]:
    return [stored.event async for stored in journal.read(run_id)]


def _with_input(events: Sequence[ev.Event], prompt: str | Message) -> ev.Event:
    first = events[0]
    if not isinstance(first, ev.RunStarted) or any(
        not isinstance(one, ev.ContextHydrated) for one in events[1:]
    ):
        raise ConfigurationError("the model has read the prompt already; fork at event 1 or 2 to change it")
    return replace(first, input=user(prompt) if isinstance(prompt, str) else prompt)
