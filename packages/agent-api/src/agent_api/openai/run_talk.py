"""What an agent's run says to a client, from its journal and live. What was told before a break can be gone on from."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Literal, NamedTuple, TypeAlias

from agent_api.following import asked_of_a_person, followed
from agent_api.openai.talk import BROKEN_OFF, BrokenOff, Ended, Said, Talk, Turn, Waiting
from agent_api.supervisor import Supervisor
from agent_core import events as ev
from agent_core.chat import Delta, ReasoningDelta, TextDelta
from agent_core.errors import ModelRefusedError, ModelUnavailableError, ProtocolError
from agent_core.messages import FinishReason, Message, Reasoning, Text
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState
from agent_core.taint import labels_seen


class Told(NamedTuple):
    """How much of a run was told before: everything up to event `seq`, and of the turn behind it the beginning of one item."""

    seq: int = 0
    kind: Literal["", "message", "reasoning"] = ""
    text: str = ""


NOTHING_TOLD = Told()
Numbered: TypeAlias = tuple[Said | BrokenOff, int]
"""What is said, and the number of the last event before it."""


async def talk_of(supervisor: Supervisor, run_id: str) -> Talk:
    """What a run says, from its beginning on, until it rests. Who stops listening stops nothing.

    Raises:
        ModelUnavailableError: the run was interrupted; it can be resumed.
        ModelRefusedError: it failed.
        ProtocolError: it was cancelled.
    """
    async with aclosing(talk_behind(supervisor, run_id)) as talk:
        async for said, _ in talk:
            if not isinstance(said, BrokenOff):
                yield said


async def talk_behind(
    supervisor: Supervisor, run_id: str, before: Told = NOTHING_TOLD
) -> AsyncGenerator[Numbered]:
    """The same behind what was told before. A turn that was broken off is asked for again: as long as the model says the same,
    it is not told twice; else `BrokenOff` says that it begins anew.

    Raises:
        As `talk_of`.
    """
    telling, state = _Teller(before), RunState(run_id=run_id)
    turns: list[str] = []
    async for item, after in followed(supervisor, run_id):
        state = after
        for said in telling.say(item, state):
            if isinstance(said, Turn):  # noted before it is told: a client may answer at once
                turns.append(said.message.text)
                _note(supervisor, state, turns)
            yield said, state.seq
    if state.phase is Phase.AWAITING:
        text = asked_of_a_person(state)
        _note(supervisor, state, [*turns, text])
        for said in telling.whole(Message(role="assistant", parts=(Text(text=text),))):
            yield said, state.seq
    else:
        await _raise_unless_done(supervisor, state)
    yield Ended(finish_reason=telling.finish_reason, usage=state.usage), state.seq


def _note(supervisor: Supervisor, state: RunState, turns: list[str]) -> None:
    """The last turn, and all turns as one message: a client of either API sends back the one or the other."""
    labels = labels_seen(state)
    supervisor.spoken.note(turns[-1], labels)
    supervisor.spoken.note("\n\n".join(turns), labels)


class _Teller:
    """Knows what was told of the turn under way: deltas are hints, and what a slow reader lost is made good from the turn."""

    def __init__(self, before: Told) -> None:
        self.finish_reason = FinishReason.STOP
        self._seq = before.seq
        self._text = ""
        self._before = before.text if before.kind == "message" else ""
        """What was told before a break, as long as it is not known whether the model says it again."""
        self._is_broken_off = before.kind == "reasoning"

    def say(self, item: StoredEvent | Delta | Waiting, state: RunState) -> Iterator[Said | BrokenOff]:
        """What to tell of what happened."""
        if isinstance(item, Waiting):
            yield item
        elif not isinstance(item, StoredEvent):
            if state.phase is Phase.REASONING and isinstance(item, TextDelta | ReasoningDelta):
                yield from self.delta(item)
        elif isinstance(item.event, ev.ModelTurn):
            if isinstance(item.event, ev.ModelAnswered):
                self.finish_reason = item.event.finish_reason
            if item.seq > self._seq:
                yield from self.whole(_shown(item.event.message))

    def delta(self, delta: TextDelta | ReasoningDelta) -> Iterator[TextDelta | ReasoningDelta | BrokenOff]:
        """What to tell of a delta."""
        if self._is_broken_off:
            self._is_broken_off = False
            yield BROKEN_OFF
        if isinstance(delta, ReasoningDelta):
            if not self._before:  # else it was thought before the text that was told
                yield delta
            return
        self._text += delta.text
        if not self._before:
            yield delta
        elif not self._before.startswith(self._text):
            yield from self._compared(self._text)

    def whole(self, message: Message) -> Iterator[TextDelta | BrokenOff | Turn]:
        """What to tell of a message, and the message."""
        if self._is_broken_off:
            self._is_broken_off = False
            yield BROKEN_OFF
        if self._before:
            yield from self._compared(message.text)
        elif not self._text.strip().startswith(message.text.strip()):
            told, text = self._text, message.text
            yield TextDelta(text[len(told) :] if text.startswith(told) else f"\n\n{text}")
        self._text = ""
        yield Turn(message=message)

    def _compared(self, text: str) -> Iterator[TextDelta | BrokenOff]:
        before, self._before = self._before, ""
        if text.startswith(before):
            text = text[len(before) :]
        else:
            yield BROKEN_OFF
        if text:
            yield TextDelta(text)


def _shown(message: Message) -> Message:
    """What a client sees of a turn: its text and its thoughts. The skills that it called run here."""
    parts = tuple(part for part in message.parts if isinstance(part, Text | Reasoning))
    return Message(role="assistant", parts=parts)


async def _raise_unless_done(supervisor: Supervisor, state: RunState) -> None:
    match state.phase:
        case Phase.DONE:
            return
        case Phase.FAILED:
            raise ModelRefusedError(f"run {state.run_id} failed: {state.error}")
        case Phase.CANCELLED:
            raise ProtocolError(f"run {state.run_id} was {state.error}")
        case _:
            view = await supervisor.view(state.run_id)
            reason = view.error or "the daemon is going; it is taken up again at the next start"
            raise ModelUnavailableError(f"run {state.run_id} is interrupted: {reason}")
