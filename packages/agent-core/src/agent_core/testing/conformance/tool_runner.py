"""The promises of the `ToolRunner` port. Subclass `ToolRunnerConformance`, open your runner, name three calls.

    class TestMyTools(ToolRunnerConformance):
        def tool_runner(self):
            return my_runner()  # an async context manager

        good = ToolCall(tool_call_id="good", name="add", arguments={"a": 1, "b": 2})
        failing = ToolCall(tool_call_id="failing", name="divide", arguments={"a": 1, "b": 0})
        endless = ToolCall(tool_call_id="endless", name="sleep", arguments={"seconds": 3600})

Needs pytest with anyio's plugin in the mode `auto`.
"""

import re
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import anyio
import msgspec

from agent_core.ports import ToolContext, ToolRunner
from agent_core.tools import ToolCall, ToolOffer, ToolResult

QUERIES = ("", "what is 2 plus 2?", "\N{SNOWMAN} \0 {} %s ../..", "word " * 5_000)
"""Requests of every kind: none may break the offers."""

PATIENCE_S = 5.0
"""Seconds until a cancelled call must have come back."""


def context(idempotency_key: str = "conformance") -> ToolContext:
    """The context of a call."""
    return ToolContext(run_id="run", session_id="session", idempotency_key=idempotency_key)


def changed(call: ToolCall, **changes: object) -> ToolCall:
    """The call with other fields."""
    return msgspec.structs.replace(call, **changes)


def is_failure(result: ToolResult, call: ToolCall) -> bool:
    """A failed result of this call with a code and words for the model, and without a traceback."""
    return (
        result.tool_call_id == call.tool_call_id
        and re.fullmatch(r"[a-z0-9_]+", result.error) is not None
        and bool(result.content.strip())
        and "Traceback" not in result.content
    )


class ToolRunnerConformance:
    """One suite a port: subclass it, give it your adapter, and pytest runs the port's promises against it."""

    good: ToolCall
    """A call that works, and does no harm when made several times."""
    failing: ToolCall
    """A call with valid arguments that fails."""
    endless: ToolCall
    """A call that does not end by itself, or not within a minute."""

    @abstractmethod
    def tool_runner(self) -> AbstractAsyncContextManager[ToolRunner]:
        """A runner with the tools of the three calls; closed when the block ends."""

    async def test_every_offer_is_well_formed(self) -> None:
        """Names that providers accept, no name twice, scores from 0 to 1, an object as the schema's root."""
        async with self.tool_runner() as runner:
            offers = [await runner.specs(query) for query in QUERIES]
            for offer in [one for many in offers for one in many]:
                assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", offer.spec.name), offer.spec.name
                assert offer.spec.description, offer.spec.name
                assert offer.spec.parameters.get("type") == "object", offer.spec.name
                assert 0.0 <= offer.score <= 1.0, offer.spec.name
                assert runner.spec(offer.spec.name) == offer.spec

    async def test_offers_are_ordered_and_at_most_one_is_proposed(self) -> None:
        """Best first; each tool once; one proposal or none."""
        async with self.tool_runner() as runner:
            for query in QUERIES:
                offers: Sequence[ToolOffer] = await runner.specs(query)
                names = [offer.spec.name for offer in offers]
                scores = [offer.score for offer in offers]
                assert len(set(names)) == len(names)
                assert scores == sorted(scores, reverse=True)
                assert sum(offer.proposed for offer in offers) <= 1

    async def test_an_unknown_tool_has_no_spec_and_fails(self) -> None:
        """No exception: the model reads that there is no such tool."""
        async with self.tool_runner() as runner:
            call = changed(self.good, name="no_such_tool")
            assert runner.spec("no_such_tool") is None
            assert is_failure(await runner.run(call, context()), call)

    async def test_a_good_call_returns_its_result(self) -> None:
        """The result carries the call's id, text, and no labels that the tool did not declare."""
        async with self.tool_runner() as runner:
            result = await runner.run(self.good, context())
            spec = runner.spec(self.good.name)
            assert spec is not None
            assert result.tool_call_id == self.good.tool_call_id
            assert not result.is_error, result.content
            assert set(spec.labels) <= set(result.labels)

    async def test_results_can_be_journaled(self) -> None:
        """Whatever comes back is valid Unicode and survives its encoding."""
        async with self.tool_runner() as runner:
            for call in (self.good, self.failing, changed(self.good, name="no_such_tool")):
                result = await runner.run(call, context())
                assert msgspec.json.decode(msgspec.json.encode(result), type=ToolResult) == result

    async def test_malformed_arguments_are_refused(self) -> None:
        """Text that was no JSON object never reaches the tool."""
        async with self.tool_runner() as runner:
            call = changed(self.good, arguments={}, malformed='{"a": ')
            assert is_failure(await runner.run(call, context()), call)

    async def test_an_unknown_argument_is_refused(self) -> None:
        """An argument that the schema does not have is the model's mistake, and it is told so."""
        async with self.tool_runner() as runner:
            call = changed(self.good, arguments={**self.good.arguments, "no_such_argument": 1})
            assert is_failure(await runner.run(call, context()), call)

    async def test_a_failing_tool_is_a_result(self) -> None:
        """An exception in the tool is a failed result, and the runner works on."""
        async with self.tool_runner() as runner:
            assert is_failure(await runner.run(self.failing, context()), self.failing)
            assert not (await runner.run(self.good, context())).is_error

    async def test_parallel_calls_keep_their_results_apart(self) -> None:
        """A failing sibling costs nobody the result."""
        results: dict[str, ToolResult] = {}
        calls = [
            changed(call, tool_call_id=f"{call.tool_call_id}_{n}")
            for n in range(8)
            for call in (self.good, self.failing)
        ]

        async def one(runner: ToolRunner, call: ToolCall) -> None:
            results[call.tool_call_id] = await runner.run(call, context(call.tool_call_id))

        async with self.tool_runner() as runner, anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(one, runner, call)
        assert all(results[call.tool_call_id].tool_call_id == call.tool_call_id for call in calls)
        assert sum(result.is_error for result in results.values()) == len(calls) / 2

    async def test_a_cancelled_call_ends_and_gives_no_result(self) -> None:
        """Cancellation passes through at once; the runner works on."""
        results: list[ToolResult] = []
        async with self.tool_runner() as runner:
            with anyio.fail_after(PATIENCE_S):
                with anyio.move_on_after(0.05):
                    results.append(await runner.run(self.endless, context()))
                assert not (await runner.run(self.good, context())).is_error
        assert not results
