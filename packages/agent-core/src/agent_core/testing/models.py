"""A model that says what a test wrote."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeAlias

from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest, TextDelta
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Message, Text, Usage, assistant
from agent_core.tools import ToolCall

Reply: TypeAlias = Message | Exception | Callable[[ModelRequest], Message]
"""What to say: a message, an exception to raise, or a function of the request."""


def answer(text: str) -> Message:
    """An answer of plain text."""
    return assistant(text)


def call(name: str, arguments: JsonObject | None = None, *, tool_call_id: str = "") -> Message:
    """A message that calls one tool; without an id the runner gives one."""
    return calls(ToolCall(tool_call_id=tool_call_id, name=name, arguments=arguments or {}))


def calls(*tool_calls: ToolCall) -> Message:
    """A message that calls several tools at once."""
    return Message(role="assistant", parts=tool_calls)


class ScriptedModel:
    """Replies in the order of the script; `requests` records what it was asked.

    The last reply of the script is repeated when more is asked.
    """

    def __init__(self, replies: Sequence[Reply], *, profile: ModelProfile | None = None) -> None:
        self._replies = list(replies)
        self._profile = profile or ModelProfile(name="test:scripted")
        self.requests: list[ModelRequest] = []
        self.closed: int = 0

    @property
    def profile(self) -> ModelProfile:
        """The profile given, or a native one."""
        return self._profile

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Word by word, then the completion. One input token a message, one output token a word."""
        reply = self._replies[min(len(self.requests), len(self._replies) - 1)]
        self.requests.append(request)
        if isinstance(reply, Exception):
            raise reply
        message = reply if isinstance(reply, Message) else reply(request)
        words = 0
        for part in message.parts:
            if isinstance(part, Text):
                for word in part.text.split(" "):
                    words += 1
                    yield TextDelta(word if words == 1 else f" {word}")
        yield Completion(
            message=message,
            model=self._profile.name,
            finish_reason=FinishReason.TOOL_CALLS if message.tool_calls else FinishReason.STOP,
            usage=Usage(input_tokens=len(request.messages), output_tokens=words),
        )

    async def aclose(self) -> None:
        """Holds nothing; `closed` counts the calls."""
        self.closed += 1
