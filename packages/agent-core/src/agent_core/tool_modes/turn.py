"""What every tool mode gets and gives: the view of a turn, one question to the model, the outcome."""

from collections.abc import Generator, Sequence
from typing import TypeAlias

import msgspec

from agent_core import events as ev
from agent_core.chat import Completion, ModelProfile, ModelRequest
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Text, Usage, assistant, system, user
from agent_core.proposal import Proposal
from agent_core.tool_modes.call_schema import written
from agent_core.tools import ToolCall, ToolOffer


class TurnView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a mode knows of the turn it takes."""

    messages: Sequence[Message]
    """The conversation so far; the last message is the input, or results of tools."""
    offers: Sequence[ToolOffer]
    """Best first; empty in a final turn."""
    profile: ModelProfile
    turn: int
    instructions: str = ""
    answer_schema: JsonObject | None = None
    must_call: bool = False
    """An answer is no choice this time: one of the offers is called. Only the constrained mode looks at this."""

    def conversation(self, *preface: str) -> Sequence[Message]:
        """The messages behind one system message of the instructions and `preface`."""
        if not preface and not self.instructions and self.answer_schema is None:
            return self.messages
        head = "\n\n".join([text for text in (self.instructions, *preface, self._shape()) if text])
        return (system(head), *self.messages) if head else self.messages

    def _shape(self) -> str:
        if self.answer_schema is None:
            return ""
        return f"Your answer must be one JSON value that fits this JSON schema, and nothing else:\n{written(self.answer_schema)}"


class Ask(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One question to the model."""

    request: ModelRequest
    visible: bool = True
    """True: what the model says is (part of) the answer, so its deltas are shown as they come."""


class TurnOutcome(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a turn came to: an answer, or calls in the message's parts."""

    message: Message
    model: str
    usage: Usage = Usage()
    finish_reason: FinishReason = FinishReason.STOP

    def event(
        self, at: float, *, final: bool, plan: Proposal | None = None, answered_by: str = ""
    ) -> ev.Event:
        """The turn as an event.

        Args:
            at: When it ended, in seconds since the epoch.
            final: It was the last turn, in which no tool was offered.
            plan: The plan that the message proposes, where it proposes one without a fault.
            answered_by: The model of the turn before.
        """
        parts, calls = self.message.parts, self.message.tool_calls
        model = "" if self.model == answered_by else self.model
        if calls and final:  # offered no tools, it called one all the same: its words are the answer
            parts = tuple(part for part in parts if not isinstance(part, ToolCall))
        if final or not calls:
            return ev.ModelAnswered(
                at=at, parts=parts, model=model, usage=self.usage, finish_reason=self.finish_reason
            )
        if plan is None:
            return ev.ToolsCalled(at=at, parts=parts, model=model, usage=self.usage)
        return ev.PlanProposed(
            at=at, parts=parts, model=model, usage=self.usage, calls=plan.calls, after=dict(plan.after)
        )


Turn: TypeAlias = Generator[Ask, Completion, TurnOutcome]


def with_unique_ids(message: Message, turn: int) -> Message:
    """The message, whose calls have ids that are not empty and not shared; some servers leave them out."""
    seen: set[str] = set()
    for part in message.parts:
        if isinstance(part, ToolCall):
            if not part.tool_call_id or part.tool_call_id in seen:
                break
            seen.add(part.tool_call_id)
    else:
        return message
    taken = {call.tool_call_id for call in message.tool_calls}
    seen.clear()
    parts = list(message.parts)
    for index, part in enumerate(parts):
        if isinstance(part, ToolCall):
            key = part.tool_call_id
            if not key or key in seen:
                key = f"call_{turn}_{index}"
                while key in taken:
                    key += "x"
                taken.add(key)
                parts[index] = msgspec.structs.replace(part, tool_call_id=key)
            seen.add(key)
    return msgspec.structs.replace(message, parts=tuple(parts))


def readable(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Calls and results as text: a model without a tool format has no other words for them."""
    return tuple(_as_text(message) for message in messages)


def _as_text(message: Message) -> Message:
    if message.role == "tool":
        results = "\n".join(
            ("The tool failed: " if result.is_error else "Result of the tool: ") + result.content
            for result in message.tool_results
        )
        notes = message.text
        return user(
            "\n".join(text for text in (results, notes, "Now answer the question with this.") if text)
        )
    if message.tool_calls:
        calls = (written({"tool": c.name, "arguments": c.arguments}) for c in message.tool_calls)
        texts = (part.text for part in message.parts if isinstance(part, Text))
        return assistant("\n".join((*texts, *calls)))
    return message
