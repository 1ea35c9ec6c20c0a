"""The model, the tools, the memory and the critic of a simulated world: honest, and as bad as a seed wants them.

They know of no process: `process` puts them, and the journal, behind ports that can die.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import count

import anyio

from agent_core import proposal
from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest, TextDelta
from agent_core.errors import ModelRefusedError, ModelUnavailableError
from agent_core.messages import FinishReason, Message, Part, Text, Usage, assistant
from agent_core.ports import ToolContext
from agent_core.reflexion import Finding, Judgement
from agent_core.state import RunState
from agent_core.testing.simulation.chance import Chance
from agent_core.testing.simulation.scenario import Scenario
from agent_core.testing.simulation.witness import Activation, Witness
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec

Pause = Callable[[], Awaitable[None]]
"""Waits a while; raises where the process that waits is dead."""
PROFILE = ModelProfile(name="simulated:model")


class SimulatedModel:
    """Answers, calls tools, proposes plans, talks nonsense; the longer a run, the likelier it answers."""

    profile = PROFILE

    def __init__(self, scenario: Scenario, is_quiet: Callable[[], bool]) -> None:
        self._chance = Chance(scenario.seed, "model")
        self._scenario = scenario
        self._is_quiet = is_quiet
        self._own = {spec.name for spec in scenario.specs}
        self._said = count(1)

    async def stream(self, request: ModelRequest, pause: Pause) -> AsyncGenerator[Delta | Completion]:
        """Reply, with a pause before every word."""
        await pause()
        self._may_fail()
        if "delay" in self._scenario.faults and not self._is_quiet() and self._chance.happens(0.05):
            await anyio.sleep(self._chance.between(1, 100))
        message = self._message(request)
        for index, part in enumerate(message.parts):
            if isinstance(part, Text):
                yield TextDelta(part.text)
                await pause()
            elif index and self._trouble(0.01):
                return  # the reply breaks off
        usage = Usage(
            input_tokens=self._chance.count(0, 20), output_tokens=self._chance.count(0, 20), cost_usd=0.01
        )
        finish = FinishReason.TOOL_CALLS if message.tool_calls else FinishReason.STOP
        yield Completion(message=message, model=PROFILE.name, finish_reason=finish, usage=usage)

    async def aclose(self) -> None:
        """Holds nothing."""

    def _trouble(self, probability: float) -> bool:
        return "model" in self._scenario.faults and not self._is_quiet() and self._chance.happens(probability)

    def _may_fail(self) -> None:
        if self._trouble(0.06):
            raise ModelUnavailableError("the simulated model is away; resume the run")
        if self._trouble(0.01):
            raise ModelRefusedError("the simulated model refuses")

    def _message(self, request: ModelRequest) -> Message:
        names = [spec.name for spec in request.tools]
        turns = sum(message.role == "assistant" for message in request.messages)
        kinds = {"answer": 1.0 + turns, "empty": 0.2}
        if names or self._chance.happens(0.1):  # some call a tool though none is offered
            kinds |= {"call": 3.0, "calls": 3.0, "again": 0.8, "nonsense": 0.5}
        if proposal.NAME in names:
            kinds["plan"] = 5.0
        tools = [name for name in names if name != proposal.NAME] or ["look"]
        match self._chance.weighted(kinds):
            case "call":
                return _said(self._call(tools, 0))
            case "calls":
                return _said(*(self._call(tools, place) for place in range(self._chance.count(2, 5))))
            case "again":
                return _said(self._again(request, tools))
            case "nonsense":
                return _said(self._nonsense(tools), self._call(tools, 1))
            case "plan":
                return _said(self._plan(tools))
            case "empty":
                return assistant("")
            case _:
                return assistant(f"answer {next(self._said)}")

    def _id(self, place: int) -> str:
        return f"c{next(self._said)}" if self._scenario.fresh_ids else f"c{place}"

    def _call(self, tools: Sequence[str], place: int) -> ToolCall:
        name = self._chance.one_of(tools)
        arguments: dict[str, object] = {"n": self._chance.count(0, 3)}
        if name == "ask":
            arguments = {"question": f"which {next(self._said)}?"}
        if name not in self._own:  # a sub-agent
            arguments = {"task": f"task {next(self._said)}"}
        return ToolCall(tool_call_id=self._id(place), name=name, arguments=arguments)

    def _again(self, request: ModelRequest, tools: Sequence[str]) -> ToolCall:
        """The call made last, once more."""
        for message in reversed(request.messages):
            for made in message.tool_calls:
                if made.name != proposal.NAME:
                    return ToolCall(tool_call_id=self._id(0), name=made.name, arguments=made.arguments)
        return self._call(tools, 0)

    def _nonsense(self, tools: Sequence[str]) -> ToolCall:
        """What models say on bad days: half a JSON object, a tool that is not there, no id."""
        name = self._chance.one_of(tools)
        return self._chance.one_of(
            (
                ToolCall(tool_call_id=self._id(0), name=name, arguments={}, malformed='{"n": '),
                ToolCall(tool_call_id=self._id(0), name="no_such_tool", arguments={}),
                ToolCall(tool_call_id="", name=name, arguments={"n": 1}),
                ToolCall(tool_call_id="c1", name=name, arguments={"n": 1}),
            )
        )

    def _plan(self, tools: Sequence[str]) -> ToolCall:
        chance, nodes = self._chance, list[dict[str, object]]()
        for place in range(chance.count(1, 5)):
            arguments: dict[str, object] = {"n": chance.count(0, 3)}
            node: dict[str, object] = {
                "id": f"p{place}",
                "tool": chance.one_of(tools),
                "arguments": arguments,
            }
            if place and chance.happens(0.4):
                arguments["from"] = {"$ref": f"p{chance.count(0, place - 1)}"}
            if place and chance.happens(0.3):
                node["after"] = [f"p{chance.count(0, place - 1)}"]
            nodes.append(node)
        if chance.happens(0.1):  # dangling, of an unknown tool, waiting for itself
            nodes[0] |= chance.one_of(({"after": ["p9"]}, {"tool": "no_such_tool"}, {"after": ["p0"]}))
        return ToolCall(tool_call_id=self._id(0), name=proposal.NAME, arguments={"calls": nodes})


def _said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


class SimulatedTools:
    """Seven tools, whose bodies the witness watches."""

    def __init__(self, scenario: Scenario, witness: Witness, is_quiet: Callable[[], bool]) -> None:
        self._chance = Chance(scenario.seed, "tools")
        self._faults = scenario.faults
        self._specs = {spec.name: spec for spec in scenario.specs}
        self._witness = witness
        self._is_quiet = is_quiet
        self._done = count(1)

    async def specs(self, query: str) -> Sequence[ToolOffer]:  # noqa: ARG002  # the port's signature
        """All of them."""
        return tuple(ToolOffer(spec=spec) for spec in self._specs.values())

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one."""
        return self._specs.get(name)

    async def run(
        self, call: ToolCall, context: ToolContext, activation: Activation | None, pause: Pause
    ) -> ToolResult:
        """Run one: it takes a while, and ends well, badly, or never."""
        spec = self._specs.get(call.name)
        if spec is None:
            return _failed(call, "unknown_tool", "There is no such tool.")
        if call.malformed:
            return _failed(call, "invalid_arguments", "The arguments are no JSON object.")
        execution = self._witness.begins(call, context, spec, activation)
        how, content = "stopped", ""
        try:
            result = await self._work(call, spec, pause)
            await pause()
            how, content = "returned", result.content
        except ZeroDivisionError:
            how = "raised"
            raise
        finally:
            self._witness.ends(execution, how, content)
        return result

    async def _work(self, call: ToolCall, spec: ToolSpec, pause: Pause) -> ToolResult:
        chance, calm = self._chance, self._is_quiet()
        await pause()
        if "hang" in self._faults and not calm and chance.happens(0.06):
            if chance.happens(0.5):
                await anyio.sleep_forever()  # until somebody ends it
            with anyio.move_on_after(spec.timeout_s * 0.9):
                await anyio.sleep_forever()
            return _failed(call, "timeout", f"{spec.name} took longer than {spec.timeout_s} s.")
        if "delay" in self._faults and chance.happens(0.3):
            await anyio.sleep(chance.between(0, spec.timeout_s * 0.99))
        if "tool" in self._faults and not calm and chance.happens(0.2):
            return self._trouble(call)
        await pause()
        labels = spec.labels
        number = next(self._done)
        content = chance.one_of((f"{spec.name} {number}", f"{spec.name} as ever", f'{{"n": {number}}}'))
        if chance.happens(0.05):
            content = ""
        return ToolResult(tool_call_id=call.tool_call_id, content=content, labels=labels)

    def _trouble(self, call: ToolCall) -> ToolResult:
        match self._chance.weighted({"failed": 3, "may pass": 3, "crash": 2, "wrong id": 1}):
            case "may pass":
                return _failed(call, "unavailable", "Busy.", retryable=True)
            case "crash":
                raise ZeroDivisionError("a broken tool")
            case "wrong id":
                return ToolResult(tool_call_id="another", content=f"lost? {next(self._done)}")
            case _:
                return _failed(call, "failed", f"It broke, for time {next(self._done)}.")


def _failed(call: ToolCall, code: str, content: str, *, retryable: bool = False) -> ToolResult:
    return ToolResult(tool_call_id=call.tool_call_id, content=content, error=code, retryable=retryable)


class SimulatedCritic:
    """Finds anything, at any speed, and breaks now and then."""

    def __init__(self, scenario: Scenario, is_quiet: Callable[[], bool]) -> None:
        self._chance = Chance(scenario.seed, "critic")
        self._is_quiet = is_quiet

    async def judge(self, state: RunState, pause: Pause) -> Judgement:
        """A verdict on results."""
        await pause()
        chance = self._chance
        if self._is_quiet():
            return Judgement()
        if chance.happens(0.1):
            await anyio.sleep(chance.between(1, 100))
        if chance.happens(0.1):
            raise ZeroDivisionError("a broken critic")
        finding = Finding(chance.weighted({"accept": 5, "retry": 1, "revise": 1, "escalate": 1}))
        ids = tuple(key for key in state.calls if chance.happens(0.5))
        return Judgement(finding=finding, reason="so the critic says", tool_call_ids=ids)

    async def check(self, state: RunState, pause: Pause) -> Judgement:
        """A verdict on an answer."""
        return await self.judge(state, pause)
