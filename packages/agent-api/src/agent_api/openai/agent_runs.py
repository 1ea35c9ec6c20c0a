"""A request to the agent as a durable run: started through the supervisor, so it belongs to the daemon."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import msgspec

from agent_api.errors import InvalidRequestError, TooManyRunsError
from agent_api.openai.caller import Caller
from agent_core import events as ev
from agent_core.errors import RunNotFoundError
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
    """Journal a run with its context, in one piece, and drive it in the background; returns its id. An attempt that is not the
    first goes on with the run of the one before, if it began one.

    `before_drive` is given its id when it is in the journal and nothing of it has happened yet.

    Raises:
        TooManyRunsError: as many runs as allowed are being driven.
        JournalUnavailableError: the storage failed; there is no such run.
    """
    supervisor = caller.supervisor
    known = await begun_before(caller)
    if known is None and supervisor.capacity.is_used_up:
        raise TooManyRunsError(supervisor.capacity.limit)
    state = known or await _journaled(caller, asked)
    try:
        with anyio.CancelScope(shield=True):
            await before_drive(state.run_id)
    finally:
        # Nothing is waited for from here on: who asks has the id before the run can end, or before its client goes.
        supervisor.take_up(state)
    return state.run_id


async def begun_before(caller: Caller) -> RunState | None:
    """The run that an attempt before this one began; None: it began none."""
    if not caller.attempt.is_again:
        return None
    try:
        return await caller.supervisor.agent.runner.load(caller.attempt.stem_id("run"))
    except RunNotFoundError:
        return None


async def _journaled(caller: Caller, asked: Question) -> RunState:
    """A run that has its context, and of which nothing has happened yet."""
    agent, attempt = caller.supervisor.agent, caller.attempt
    run_id, now = attempt.new_id("run"), agent.runner.now()
    started = ev.RunStarted(
        at=now,
        run_id=run_id,
        session_id=asked.session_id or attempt.new_id("session"),
        input=asked.input,
        model=agent.model.profile.name,
        instructions=asked.instructions or agent.settings.instructions,
        answer_schema=asked.answer_schema,
        read_before=caller.supervisor.spoken.read_before(asked.earlier),
    )
    hydrated = ev.ContextHydrated(at=now, messages=tuple(asked.earlier))
    caller.own(run_id)
    await agent.journal.append(run_id, 0, (started, hydrated), writer="v1")
    return evolve(evolve(RunState(run_id=run_id), started), hydrated)
