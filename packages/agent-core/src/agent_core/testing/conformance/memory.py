"""The promises of the `Memory` port towards a session. Subclass `MemoryConformance` and say how to open yours.

    class TestMyMemory(MemoryConformance):
        def memory(self):
            return MyMemory.open(...)  # an async context manager

A memory may recall more than the session; these tests look only for what must be there and what must not. Needs pytest
with anyio's plugin in the mode `auto`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from agent_core import events as ev
from agent_core.errors import ContextTooLongError
from agent_core.messages import Message, assistant, user
from agent_core.ports import HydrateRequest, Memory
from agent_core.state import RunState
from agent_core.testing.conformance.expect import raises
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import replay

PLENTY = 100_000
"""Tokens enough for everything said here."""


def outcome(
    number: int, session_id: str, said: str, *, tool: bool = False, context: Sequence[Message] = ()
) -> RunState:
    """A run that stands before its last step, as the runner hands it over: `said`, and the answer `re: said`."""
    run_id, at = f"run_{number:03}", float(number)
    events: list[ev.Event] = [
        ev.RunStarted(at=at, run_id=run_id, session_id=session_id, input=user(said), model="test:model"),
        ev.ContextHydrated(at=at, messages=tuple(context)),
    ]
    if tool:
        call = ToolCall(tool_call_id=f"call_{number}", name="look_up", arguments={"about": said})
        result = ToolResult(tool_call_id=call.tool_call_id, content=f"found {said}")
        events += [
            ev.ToolsCalled(at=at, parts=(call,), model="test:model"),
            ev.tool_back(result, at=at),
            ev.ResultsAccepted(at=at),
        ]
    events += [
        ev.ModelAnswered(at=at, parts=assistant(f"re: {said}").parts, model="test:model"),
        ev.AnswerAccepted(at=at),
    ]
    return replay(run_id, events)


def request(session_id: str, said: str = "and now?", budget_tokens: int = PLENTY) -> HydrateRequest:
    """What a new run of the session asks."""
    return HydrateRequest(
        run_id="run_999", session_id=session_id, input=user(said), budget_tokens=budget_tokens
    )


def texts(messages: Sequence[Message]) -> list[str]:
    """The texts, without what has none."""
    return [message.text for message in messages if message.text]


class MemoryConformance:
    """Each test opens a memory of its own, through `memory`."""

    @abstractmethod
    def memory(self) -> AbstractAsyncContextManager[Memory]:
        """A memory that knows nothing yet, closed at the end of the block."""

    async def test_a_new_session_has_no_past(self) -> None:
        """Nothing is made up, and the input is not repeated."""
        async with self.memory() as memory:
            assert list(await memory.hydrate(request("new"))) == []

    async def test_what_was_said_is_hydrated_oldest_first(self) -> None:
        """Input and answer of each run, in the order of the runs."""
        async with self.memory() as memory:
            for number, said in enumerate(("one", "two", "three"), start=1):
                await memory.hydrate(request("s", said))
                await memory.remember(outcome(number, "s", said))
            messages = await memory.hydrate(request("s"))
        said_or_answered = {"one", "re: one", "two", "re: two", "three", "re: three"}
        assert [text for text in texts(messages) if text in said_or_answered] == [
            "one",
            "re: one",
            "two",
            "re: two",
            "three",
            "re: three",
        ]
        assert "and now?" not in texts(messages)

    async def test_hydrating_changes_nothing(self) -> None:
        """The same question, the same context."""
        async with self.memory() as memory:
            await memory.remember(outcome(1, "s", "one"))
            first = list(await memory.hydrate(request("s")))
            assert list(await memory.hydrate(request("s"))) == first

    async def test_a_session_does_not_hear_another(self) -> None:
        """The window of one session holds nothing of the other."""
        async with self.memory() as memory:
            await memory.remember(outcome(1, "hers", "a secret"))
            await memory.remember(outcome(2, "his", "hello"))
            messages = await memory.hydrate(request("his"))
        assert "hello" in texts(messages)
        assert not any("a secret" in text for text in texts(messages))

    async def test_a_run_told_twice_is_there_once(self) -> None:
        """The runner tells again after a crash."""
        async with self.memory() as memory:
            await memory.remember(outcome(1, "s", "one"))
            await memory.remember(outcome(1, "s", "one"))
            assert texts(await memory.hydrate(request("s"))).count("re: one") == 1

    async def test_hydrated_context_is_not_remembered_again(self) -> None:
        """Else the past would double with every run."""
        async with self.memory() as memory:
            await memory.remember(outcome(1, "s", "one"))
            context = await memory.hydrate(request("s"))
            await memory.remember(outcome(2, "s", "two", context=context))
            assert texts(await memory.hydrate(request("s"))).count("re: one") == 1

    async def test_the_newest_is_kept_within_the_budget(self) -> None:
        """A word is a token at least, so the words must fit; the latest answer is there and the first is not."""
        budget = 2_000
        async with self.memory() as memory:
            for number in range(1, 31):
                await memory.remember(outcome(number, "s", f"{number} " + "word " * 100))
            asked = request("s", budget_tokens=budget)
            messages = await memory.hydrate(asked)
        assert len(" ".join(texts((*messages, asked.input))).split()) <= budget
        assert any(text.startswith("re: 30 ") for text in texts(messages))
        assert not any(text.startswith("re: 1 ") for text in texts(messages))

    async def test_an_input_over_the_budget_is_refused(self) -> None:
        """With and without a past."""
        asked = request("s", "word " * 500, budget_tokens=400)
        async with self.memory() as memory:
            for number in (1, 2):
                with raises(ContextTooLongError) as raised:
                    await memory.hydrate(asked)
                assert raised.error.limit == 400
                assert raised.error.tokens > 400
                await memory.remember(outcome(number, "s", "one"))

    async def test_a_tool_call_and_its_result_never_part(self) -> None:
        """Whatever the budget cuts off, the result follows its call, and no call is without one."""
        async with self.memory() as memory:
            for number in range(1, 11):
                await memory.remember(outcome(number, "s", f"word{number} " * 5, tool=True))
            for budget in range(50, 1_200, 50):
                called: list[str] = []
                for message in await memory.hydrate(request("s", budget_tokens=budget)):
                    returned = [result.tool_call_id for result in message.tool_results]
                    assert returned == called[: len(returned)]
                    called = called[len(returned) :]
                    called += [call.tool_call_id for call in message.tool_calls]
                assert called == []
            messages = await memory.hydrate(request("s"))
        assert {call.tool_call_id for message in messages for call in message.tool_calls} >= {"call_10"}
