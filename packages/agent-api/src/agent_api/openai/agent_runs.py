"""A request to the agent as a durable run: started through the supervisor, so it belongs to the daemon; followed from its journal."""

from collections.abc import AsyncIterator, Sequence

import anyio
import msgspec

from agent_api.broadcast import PING_S
from agent_api.errors import TooManyRunsError
from agent_api.openai.caller import Caller
from agent_api.openai.talk import WAITING, Ended, Talk, Turn, Waiting
from agent_api.supervisor import Supervisor
from agent_core import events as ev
from agent_core.chat import Delta, ReasoningDelta, TextDelta
from agent_core.errors import ModelRefusedError, ModelUnavailableError, ProtocolError
from agent_core.feed import Feed
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Reasoning, Text
from agent_core.planning import ASKED
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState
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


def question(messages: Sequence[Message], **fields: object) -> Question | None:
    """A conversation as a question: its last message, where a person said that; None: it does not end with one."""
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "user":
        return None
    instructions = "\n\n".join(message.text for message in messages if message.role == "system")
    asked = Question(input=spoken[-1], earlier=tuple(spoken[:-1]), instructions=instructions)
    return msgspec.structs.replace(asked, **fields)


async def start(caller: Caller, asked: Question) -> str:
    """Journal a run with its context, in one piece, and drive it in the background; returns its id.

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
    )
    hydrated = ev.ContextHydrated(at=now, messages=tuple(asked.earlier))
    caller.own(run_id)
    await agent.journal.append(run_id, 0, (started, hydrated), writer="v1")
    # Nothing is waited for from here on: who asks has the id before the run can end, or before its client goes.
    supervisor.take_up(evolve(evolve(RunState(run_id=run_id), started), hydrated))
    return run_id


async def talk_of(caller: Caller, run_id: str) -> Talk:
    """What a run says, from its beginning on, until it rests. Who stops listening stops nothing.

    Raises:
        ModelUnavailableError: the run was interrupted; it can be resumed.
        ModelRefusedError: it failed.
        ProtocolError: it was cancelled.
    """
    told, state, finish_reason = _Told(), RunState(run_id=run_id), FinishReason.STOP
    async for item, after in followed(caller.supervisor, run_id):
        state = after
        if isinstance(item, Waiting):
            yield item
        elif not isinstance(item, StoredEvent):
            if state.phase is Phase.REASONING and isinstance(item, TextDelta | ReasoningDelta):
                yield told.delta(item)
        elif isinstance(item.event, ev.ModelTurn):
            if isinstance(item.event, ev.ModelAnswered):
                finish_reason = item.event.finish_reason
            message = _shown(item.event.message)
            if (missing := told.missing(message.text)) is not None:
                yield missing
            yield Turn(message=message)
    if state.phase is Phase.AWAITING:
        text = asked_of_a_person(state)
        yield TextDelta(text)
        yield Turn(message=Message(role="assistant", parts=(Text(text=text),)))
    else:
        await _raise_unless_done(caller, state)
    yield Ended(finish_reason=finish_reason, usage=state.usage)


class _Told:
    """What was told of the turn under way: deltas are hints, and what a slow reader lost is made good from the turn."""

    def __init__(self) -> None:
        self._text = ""

    def delta(self, delta: TextDelta | ReasoningDelta) -> TextDelta | ReasoningDelta:
        if isinstance(delta, TextDelta):
            self._text += delta.text
        return delta

    def missing(self, text: str) -> TextDelta | None:
        told, self._text = self._text, ""
        if told.strip().startswith(text.strip()):
            return None
        return TextDelta(text[len(told) :] if text.startswith(told) else f"\n\n{text}")


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


def _shown(message: Message) -> Message:
    """What a client sees of a turn: its text and its thoughts. The skills that it called run here."""
    parts = tuple(part for part in message.parts if isinstance(part, Text | Reasoning))
    return Message(role="assistant", parts=parts)


def asked_of_a_person(state: RunState) -> str:
    """What the people that a run waits for are asked."""
    questions = [call.question for call in state.calls.values() if call.status == ASKED]
    return "\n".join(questions) or f"run {state.run_id} waits for a person"


async def _raise_unless_done(caller: Caller, state: RunState) -> None:
    match state.phase:
        case Phase.DONE:
            return
        case Phase.FAILED:
            raise ModelRefusedError(f"run {state.run_id} failed: {state.error}")
        case Phase.CANCELLED:
            raise ProtocolError(f"run {state.run_id} was {state.error}")
        case _:
            view = await caller.supervisor.view(state.run_id)
            reason = view.error or "the daemon is going; it is taken up again at the next start"
            raise ModelUnavailableError(f"run {state.run_id} is interrupted: {reason}")
