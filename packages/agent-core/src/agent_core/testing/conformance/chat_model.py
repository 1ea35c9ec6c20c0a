"""The promises of the `ChatModel` port. Subclass `ChatModelConformance` and say how to open your model.

    class TestMyModel(ChatModelConformance):
        def chat_model(self):
            return my_model()  # an async context manager

        constraints = (Choice(values=("yes", "no")),)  # those that it can be held to
        too_long = "word " * 100_000  # None where the model does not count

The suite asks short questions, and one for a long story; a scripted model must have enough replies for them, the long
one (its request has `max_output_tokens=LONG_REPLY_TOKENS`) slow enough to be stopped midway.

Needs pytest with anyio's plugin in the mode `auto`.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import cast

import anyio

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Delta,
    JsonSchema,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.errors import ContextTooLongError
from agent_core.messages import Reasoning, user
from agent_core.ports import ChatModel
from agent_core.testing.conformance.expect import raises

SHORT_REPLY_TOKENS = 12
LONG_REPLY_TOKENS = 400
PATIENCE_S = 60.0
"""Seconds for one reply; small machines are shared."""
STOPS_WITHIN_S = 5.0
"""Seconds until a model that is told to stop has stopped."""


def question(text: str = "Say hello.", *, constraint: Constraint | None = None) -> ModelRequest:
    """A request for a short reply."""
    return ModelRequest(messages=(user(text),), max_output_tokens=SHORT_REPLY_TOKENS, constraint=constraint)


def long_question() -> ModelRequest:
    """A request for a reply that takes a while."""
    return ModelRequest(messages=(user("Tell a long story."),), max_output_tokens=LONG_REPLY_TOKENS)


async def ask(model: ChatModel, request: ModelRequest) -> tuple[Sequence[Delta], Completion]:
    """All deltas, and the completion, which must be the last item and the only one."""
    items: list[Delta | Completion]
    with anyio.fail_after(PATIENCE_S):
        items = [item async for item in model.stream(request)]
    assert items, "the stream was empty"
    *deltas, last = items
    assert isinstance(last, Completion), f"the last item is {last!r}"
    checked: list[Delta] = []
    for delta in deltas:
        assert isinstance(delta, TextDelta | ReasoningDelta | ToolCallDelta), (
            f"{delta!r} is not the last item"
        )
        checked.append(delta)
    return checked, last


class ChatModelConformance:
    """Each test opens a model of its own, through `chat_model`."""

    constraints: tuple[Constraint, ...] = ()
    """The constraints that the model can be held to."""
    too_long: str | None = None
    """A text of more tokens than the model holds; None: not tested."""

    @abstractmethod
    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        """A model, closed at the end of the block."""

    async def test_a_profile_is_known_without_asking(self) -> None:
        """A name, and room for a reply."""
        async with self.chat_model() as model:
            assert model.profile.name
            assert 0 < model.profile.reply_tokens < model.profile.context_tokens

    async def test_deltas_then_one_completion(self) -> None:
        """What was streamed is what is in the message, of each kind."""
        async with self.chat_model() as model:
            deltas, completion = await ask(model, question())
        message = completion.message
        said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
        thought = "".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta))
        assert message.role == "assistant"
        assert said == message.text
        assert thought == "".join(part.text for part in message.parts if isinstance(part, Reasoning))
        assert completion.model

    async def test_tool_calls_have_unique_ids(self) -> None:
        """A result finds its call by the id."""
        async with self.chat_model() as model:
            _, completion = await ask(model, question())
        ids = [call.tool_call_id for call in completion.message.tool_calls]
        assert all(ids)
        assert len(set(ids)) == len(ids)

    async def test_one_model_answers_again(self) -> None:
        """A stream leaves nothing behind that the next one meets."""
        async with self.chat_model() as model:
            for _ in range(2):
                _, completion = await ask(model, question())
                assert completion.message.role == "assistant"

    async def test_two_streams_at_once(self) -> None:
        """Both end; whether at the same time is the model's business."""
        completions: list[Completion] = []

        async def one(model: ChatModel) -> None:
            _, completion = await ask(model, question())
            completions.append(completion)

        async with self.chat_model() as model, anyio.create_task_group() as tasks:
            tasks.start_soon(one, model)
            tasks.start_soon(one, model)
        assert len(completions) == 2

    async def test_closing_early_stops_the_model(self) -> None:
        """Long before the story's end, and the model answers the next question."""
        async with self.chat_model() as model:
            stream = model.stream(long_question())
            with anyio.fail_after(PATIENCE_S):
                first = await anext(stream)
            assert not isinstance(first, Completion)
            with anyio.fail_after(STOPS_WITHIN_S):
                await stream.aclose()
            assert [item async for item in stream] == [], "a closed stream says no more"
            await ask(model, question())

    async def test_cancelling_stops_the_model(self) -> None:
        """Cancellation goes through, and the model answers the next question."""
        async with self.chat_model() as model:
            with anyio.CancelScope() as scope:
                async with aclosing(model.stream(long_question())) as stream:
                    async for _ in stream:
                        scope.cancel()
            assert scope.cancelled_caught
            await ask(model, question())

    async def test_a_constraint_is_obeyed(self) -> None:
        """A choice is one of its values; a JSON schema gives JSON with what it requires."""
        for constraint in self.constraints:
            async with self.chat_model() as model:
                _, completion = await ask(model, question("Yes or no?", constraint=constraint))
            text = completion.message.text
            match constraint:
                case Choice():
                    assert text in constraint.values
                case JsonSchema():
                    required = cast("Sequence[str]", constraint.schema.get("required", ()))
                    assert set(required) <= set(json.loads(text))
                case _:
                    assert text

    async def test_a_prompt_over_the_context_is_refused(self) -> None:
        """With the numbers, and the model answers the next question."""
        if self.too_long is None:
            return
        async with self.chat_model() as model:
            with raises(ContextTooLongError) as refused, anyio.fail_after(PATIENCE_S):
                async for _ in model.stream(question(self.too_long)):
                    pass
            assert refused.error.tokens > refused.error.limit > 0
            await ask(model, question())

    async def test_closing_twice_does_no_harm(self) -> None:
        """Whether it has answered or not."""
        async with self.chat_model() as model:
            await model.aclose()
            await model.aclose()
        async with self.chat_model() as model:
            await ask(model, question())
            await model.aclose()
            await model.aclose()
