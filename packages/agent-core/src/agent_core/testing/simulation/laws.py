"""The laws of a simulated world, by name, and what is checked of them once it has ended. The witness checks the rest."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from agent_core import codec, limits
from agent_core import events as ev
from agent_core.errors import AgentError
from agent_core.limits import Limits
from agent_core.planning import CallStatus
from agent_core.ports import Journal, StoredEvent
from agent_core.state import Phase, RunState
from agent_core.testing.memory import NoMemory
from agent_core.testing.simulation.witness import (
    TOLERANCE_S,
    TURNS,
    Execution,
    Witness,
    calls_of,
    prefix_state,
)
from agent_core.testing.virtual_time import PATIENCE
from agent_core.tools import ToolResult

LAWS: Mapping[str, str] = {
    "acknowledged": "what was acknowledged is in the journal, at its place, and nothing that nobody wrote",
    "approved": "a tool that destroys runs only with a person's yes, and with exactly the arguments of that yes",
    "cancel": "a cancelled run's tools stop in the instant in which their own process cancels it",
    "deadline": "no tool works longer than its specification allows",
    "delegated": "a delegated run counts for the run that delegated it, and is over before that one is",
    "ends": "every run that was started ends, once nothing goes wrong any more",
    "errors": "a drive, a command or a start raises only what it documents",
    "intent": "an intent is journaled before every execution of a tool that is not idempotent",
    "keys": "an idempotency key stands for one call, and is the same for every attempt",
    "limits": "a limit is exceeded by no more than what was under way, and by the last turn",
    "nothing left": "no tool runs on once its drive has ended, and no task once the world has",
    "numbers": "the numbers of a run's events have no gap and no repeat",
    "observers": "an observer is told of each event once, in order, with the state that the journal leads to",
    "once": "a tool that is not idempotent never runs again without a person's yes, or its own word that it may",
    "outcome": "memory has the answer of every run that is done",
    "owed": "a run owes nothing if it is over or not begun, and else something",
    "replay": "every prefix of a journal replays, to the state that the events led to",
    "results": "a result that came back is in the journal, and in the conversation that the model reads",
    "sessions": "runs of one session take turns within a process",
}
"""Each law by its name."""


async def check(witness: Witness, journal: Journal, memory: object, run_ids: Sequence[str]) -> None:
    """Look at a world that has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for _ in range(PATIENCE * 4):  # generators that were left midway are closed by tasks of the loop's own
        await asyncio.sleep(0)
        others = {task for task in others if not task.done()}
    if others:
        witness.breaks(
            "nothing left", f"{len(others)} tasks: {sorted(repr(task.get_coro()) for task in others)}"
        )
    for run_id in run_ids:
        stored = [one async for one in journal.read(run_id)]
        _check_journal(witness, run_id, stored)
        state = witness.state(run_id)
        if not state.is_over:
            witness.breaks("ends", f"{run_id} is {state.phase} for ever")
        _check_intents(witness, run_id)
        _check_results(witness, run_id)
        _check_limits(witness, run_id)
        _check_delegation(witness, run_id)
        if isinstance(memory, NoMemory) and state.phase is Phase.DONE and not state.parent_id:
            kept = {one.run_id: one.answer for one in memory.remembered}
            if kept.get(run_id) != state.answer:
                witness.breaks(
                    "outcome", f"{run_id} answered {state.answer!r}, memory has {kept.get(run_id)!r}"
                )
    _check_executions(witness)
    for one in witness.activations:
        if one.rest_seq is not None and one.seqs and one.seqs[-1] != one.rest_seq:
            witness.breaks("observers", f"{one.run_id}: told up to {one.seqs[-1]} of {one.rest_seq}")
        if one.seqs and one.seqs[0] <= one.began_after:
            witness.breaks("observers", f"{one.run_id}: told of {one.seqs[0]}, which was there before")


def _check_journal(witness: Witness, run_id: str, stored: Sequence[StoredEvent]) -> None:
    written = witness.written.get(run_id, [])
    if [one.seq for one in stored] != list(range(1, len(stored) + 1)):
        witness.breaks("numbers", f"{run_id}: {[one.seq for one in stored]}")
        return
    for mine, theirs in zip(written, stored, strict=False):
        if (mine.event, mine.writer) != (theirs.event, theirs.writer):
            witness.breaks("acknowledged", f"{run_id}: event {mine.seq} is another than the one acknowledged")
            return
    if len(stored) < len(written):
        witness.breaks(
            "acknowledged", f"{run_id}: {len(written)} events were acknowledged, {len(stored)} are kept"
        )
    for one in stored[len(written) :]:
        if (run_id, one.seq, one.writer) not in witness.attempted:
            witness.breaks("acknowledged", f"{run_id}: nobody wrote event {one.seq}")
    try:
        again = prefix_state(run_id, written)
        read = [codec.decode(codec.encode(one.event)) for one in written]
    except (AgentError, UnicodeError) as error:
        witness.breaks("replay", f"{run_id}: {error}")
        return
    if written and again != witness.state(run_id):
        witness.breaks("replay", f"{run_id}: its journal leads to another state than its events did")
    if read != [one.event for one in written]:
        witness.breaks("replay", f"{run_id}: its events are others once they were encoded")


def _turns(written: Sequence[StoredEvent]) -> Iterator[tuple[int, Sequence[StoredEvent]]]:
    """Each turn that called tools: the number of its event, and what followed up to the next."""
    begins = [one.seq for one in written if isinstance(one.event, TURNS)]
    for begin, end in zip(begins, [*begins[1:], len(written) + 1], strict=False):
        yield begin, written[begin : end - 1]


def _check_intents(witness: Witness, run_id: str) -> None:
    """Between two intents of one call lies a person's yes, or a retry of a failure that the tool said may pass."""
    states = witness.states.get(run_id, [])
    for begin, events in _turns(witness.written.get(run_id, [])):
        may_run: dict[str, bool] = {}
        for one in events:
            for key in calls_of(one.event):
                match one.event:
                    case ev.ToolStarted():
                        if not may_run.get(key, True):
                            witness.breaks(
                                "once", f"{run_id}: call {key} of event {begin} began again at {one.seq}"
                            )
                        may_run[key] = False
                    case ev.ApprovalGranted():
                        may_run[key] = True
                    case ev.ResultsRetried():
                        call = states[one.seq - 1].calls.get(key)
                        if call is not None and call.result is not None and call.result.retryable:
                            may_run[key] = True
                    case _:
                        pass


def _check_results(witness: Witness, run_id: str) -> None:
    """What is back in a turn is in the conversation by the time the model is asked again."""
    states = witness.states.get(run_id, [])
    for begin, events in _turns(witness.written.get(run_id, [])):
        back: dict[str, ToolResult] = {}
        for one in events:
            state = states[one.seq]
            for key in calls_of(one.event):
                call = state.calls.get(key)
                if call is not None and call.result is not None and call.is_back:
                    back[key] = call.result
                elif call is not None and not call.is_back:
                    back.pop(key, None)
            if state.phase is Phase.REASONING:
                lost = sorted(key for key, result in back.items() if not _is_read(state, key, result))
                if lost:
                    witness.breaks(
                        "results", f"{run_id}: {lost} of event {begin} are lost at event {one.seq}"
                    )
                break


def _is_read(state: RunState, key: str, result: ToolResult) -> bool:
    """Whether the model will read a result: by itself, or in the summary of its plan."""
    for message in reversed(state.messages):
        for read in message.tool_results:
            if state.plan_call_id and read.tool_call_id == state.plan_call_id:
                outcome = msgspec.json.decode(read.content, type=dict[str, dict[str, object]]).get(key)
                return outcome is not None and ("error" in outcome) is result.is_error
            if not state.plan_call_id and read.tool_call_id == key:
                return read == result
    return False


def _check_limits(witness: Witness, run_id: str) -> None:
    """After the first state in which a limit is reached the model has one more turn at most."""
    states = witness.states.get(run_id, [])
    allowed = states[-1].limits if states else Limits()
    reached_at, turns = 0, 0
    for state, one in zip(states[1:], witness.written.get(run_id, []), strict=False):
        turns += isinstance(one.event, ev.ModelTurn)
        if reached_at and turns > allowed.last_turn:
            witness.breaks(
                "limits", f"{run_id}: a turn at event {one.seq}, a limit was reached at {reached_at}"
            )
            break
        if not reached_at and limits.reached(_without_time(allowed), state.spent):
            reached_at, turns = one.seq, 0
    family = set(witness.family(run_id))
    mine = [one for one in witness.executions if one.run_id in family]
    made = {(one.run_id, one.turn_seq, one.tool_call_id) for one in mine}
    if allowed.tool_calls is not None and len(made) > allowed.tool_calls:
        witness.breaks("limits", f"{run_id}: {len(made)} calls were made, {allowed.tool_calls} were allowed")
    if allowed.wall_time_s is None or not states:
        return
    ends_at_s = states[1].started_at + allowed.wall_time_s - witness.epoch
    late = [one.name for one in mine if (one.ended_at or one.began_at) > ends_at_s + TOLERANCE_S]
    if late:
        witness.breaks("limits", f"{run_id}: {late} worked {allowed.wall_time_s} s after the run began")


def _check_delegation(witness: Witness, run_id: str) -> None:
    """What became of the runs that a run delegated."""
    for one in witness.written.get(run_id, []):
        event = one.event
        if not isinstance(event, ev.ToolReturned | ev.ToolFailed):
            continue
        call = witness.states[run_id][one.seq - 1].calls.get(event.tool_call_id)
        if call is None or call.status is not CallStatus.DELEGATED:
            continue
        run = witness.state(call.run_id)
        if not run.seq:  # the time was up before it began
            continue
        name = f"{run_id}: call {event.tool_call_id}"
        if not run.is_over:
            witness.breaks("delegated", f"{name} came back, and {run.run_id} is {run.phase}")
        elif run.phase is Phase.DONE and event.content != run.answer and not _is_stopped(event):
            witness.breaks("delegated", f"{name} has not the answer of {run.run_id}")
        if event.spent != run.spent:
            witness.breaks("delegated", f"{name} counts {event.spent}, spent was {run.spent}")


def _is_stopped(event: ev.ToolBack) -> bool:
    return event.error == "limit_reached"


def _without_time(allowed: Limits) -> Limits:
    return msgspec.structs.replace(allowed, wall_time_s=None)


def _check_executions(witness: Witness) -> None:
    for one in witness.executions:
        behind = witness.written.get(one.run_id, [])[one.turn_seq :]
        turn = next(
            (events for begin, events in _turns(witness.written[one.run_id]) if begin == one.turn_seq), behind
        )
        mine = [event.event for event in turn if one.tool_call_id in calls_of(event.event)]
        if one.name == "wipe":
            _check_approval(witness, one, turn)
        activation = one.activation
        if one.how != "returned" or activation is None or activation.how != "rest" or activation.lost_storage:
            continue
        is_kept = any(
            isinstance(event, ev.ToolReturned | ev.ToolFailed) and event.content == one.content
            for event in mine
        )
        if not is_kept and witness.state(one.run_id).phase is not Phase.CANCELLED:
            witness.breaks(
                "results", f"{one.run_id}: what {one.name} returned is in no journal: {one.content!r}"
            )


def _check_approval(witness: Witness, one: Execution, turn: Sequence[StoredEvent]) -> None:
    allowed = [
        witness.states[one.run_id][stored.seq].calls[one.tool_call_id].call.arguments
        for stored in turn
        if isinstance(stored.event, ev.ApprovalGranted) and stored.event.tool_call_id == one.tool_call_id
    ]
    if one.arguments not in allowed:
        witness.breaks(
            "approved", f"{one.run_id}: {one.name} ran with {one.arguments}; allowed was {allowed}"
        )
