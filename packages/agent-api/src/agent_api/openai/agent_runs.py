"""A request to the agent as a durable run: started through the supervisor, so it belongs to the daemon."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec

from agent_api.errors import InvalidRequestError, TooManyRunsError
from agent_api.openai.caller import Caller
from agent_core import events as ev
from agent_core.json_types import JsonObject
from agent_core.messages import Message, Text
from agent_core.state import RunState
from agent_core.transitions import evolve


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks the agent."""

    input: Message
    earlier: Sequence[Message] = ()
    """What was said before, as the client sent it: memory is not asked."""
    instructions: str = ""
    """Empty: those of the settings."""
    answer_schema: JsonObject | None = None
    session_id: str = ""


def question(messages: Sequence[Message], param: str, **fields: object) -> Question | None:
    """A conversation as a question: its last message, where a person said that; None: it does not end with one.

    Raises:
        InvalidRequestError: the last message says nothing; `param` is the field that it is in.
    """
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        return None
    if not any(not isinstance(part, Text) or part.text.strip() for part in spoken[-1].parts):
        raise InvalidRequestError("the last message says nothing", param=param)
    instructions = "\n\n".join(message.text for message in messages if message.role == "system")
    asked = Question(input=spoken[-1], earlier=tuple(spoken[:-1]), instructions=instructions)
    return msgspec.structs.replace(asked, **fields)


async def _nothing(run_id: str) -> None:
    """Nothing is to be done before the run is driven."""


async def start(
    caller: Caller, asked: Question, before_drive: Callable[[str], Awaitable[None]] = _nothing
) -> str:
    """Journal a run with its context, in one piece, and drive it in the background; returns its id.

    `before_drive` is given its id when it is in the journal and nothing of it has happened yet.

    Raises:
        TooManyRunsError: as many runs as allowed are being driven.
        JournalUnavailableError: the storage failed; there is no such run.
    """
    supervisor = caller.supervisor
    if supervisor.capacity.is_used_up:
        raise TooManyRunsError(supervisor.capacity.limit)
    agent, ids = supervisor.agent, supervisor.agent.runner.adapters.ids
    run_id, now = ids.new("run"), agent.runner.now()
    started = ev.RunStarted(
        at=now,
        run_id=run_id,
        session_id=asked.session_id or ids.new("session"),
        input=asked.input,
        model=agent.model.profile.name,
        instructions=asked.instructions or agent.settings.instructions,
        answer_schema=asked.answer_schema,
        read_before=supervisor.spoken.read_before(asked.earlier),
    )
    hydrated = ev.ContextHydrated(at=now, messages=tuple(asked.earlier))
    caller.own(run_id)
    await agent.journal.append(run_id, 0, (started, hydrated), writer="v1")
    try:
        with anyio.CancelScope(shield=True):
            await before_drive(run_id)
    finally:
        # Nothing is waited for from here on: who asks has the id before the run can end, or before its client goes.
        supervisor.take_up(evolve(evolve(RunState(run_id=run_id), started), hydrated))
    return run_id
