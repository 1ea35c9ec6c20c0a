"""Which question a person's decision is about: some servers name calls of several turns alike, and people click twice."""

from agent_core import events as ev
from agent_core.errors import QuestionUnseenError
from agent_core.ports import Journal


async def check_seen(journal: Journal, run_id: str, command: ev.Event, seen: int | None) -> None:
    """Hold that a decision is about the question that the person saw.

    Args:
        journal: Where the questions are.
        run_id: The run that asks.
        command: What the person decided; other commands than decisions pass.
        seen: The `seq` of the run as the person saw it. None: as it asked about a call of that id for the first time.

    Raises:
        QuestionUnseenError: the call, or another of its id, was asked about again after that.
    """
    if not isinstance(command, ev.ApprovalGranted | ev.ApprovalDenied | ev.InputGiven):
        return
    is_seen = seen is not None
    async for stored in journal.read(run_id, after=seen or 0):
        asked = stored.event
        if (
            isinstance(asked, ev.ApprovalRequested | ev.InputRequested)
            and asked.tool_call_id == command.tool_call_id
        ):
            if is_seen:
                raise QuestionUnseenError(command.tool_call_id, stored.seq)
            is_seen = True
