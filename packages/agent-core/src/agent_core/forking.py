"""New runs out of old ones, and where two part: what `Runner.fork` and `Runner.diverge` do with a journal."""

from collections.abc import Sequence

from msgspec.structs import replace

from agent_core import divergence
from agent_core import events as ev
from agent_core.divergence import Divergence
from agent_core.errors import ConfigurationError, RunNotFoundError
from agent_core.messages import Message, user
from agent_core.ports import Journal
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
) -> None:
    """Journal a run that begins with the first `at_seq` events of another; see `Runner.fork`."""
    events = await _events(journal, run_id)
    if not 0 < at_seq <= len(events):
        raise RunNotFoundError(f"{run_id} at event {at_seq}")
    events = events[:at_seq]
    if prompt is not None:
        events[0] = _with_input(events, prompt)
    replay(new_id, [*events, *then])  # refuses what does not fit, before anything is written
    if prompt is None:
        await journal.fork(run_id, at_seq, new_id)  # as it stands, byte for byte
    else:
        await journal.append(new_id, 0, events, writer=writer)
    if then:
        await journal.append(new_id, at_seq, then, writer=writer)


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
