import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Grammar,
    JsonSchema,
    ModelRequest,
    SchemaLimits,
    TextDelta,
)
from agent_core.errors import ContextTooLongError
from agent_core.messages import FinishReason, Message, user
from agent_core.ports import ChatModel
from agent_core.testing.conformance.chat_model import ChatModelConformance
from agent_core.tool_modes import Turn, TurnView
from agent_core.tool_modes.constrained import constrained
from agent_core.tool_modes.routed import routed
from agent_core.tools import ToolExample, ToolOffer, ToolSpec
from agent_gateway.catalog import connect
from agent_gateway.engines.llama_cpp import LlamaCppModel, default_threads
from agent_gateway.errors import MissingExtraError, ProviderRefusedError, WeightsError
from agent_gateway.profiles import EMBEDDED

PROFILE = EMBEDDED["smollm2-135m"].profile
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
WEATHER = ToolSpec(
    name="get.weather",
    description="The weather of a city",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
STORY = ModelRequest(messages=(user("Tell a long story."),), max_output_tokens=2_000)


def ask_for(text: str, **fields: Any) -> ModelRequest:
    return ModelRequest(messages=(user(text),), **{"max_output_tokens": 24, **fields})


async def ask(model: ChatModel, request: ModelRequest) -> Completion:
    *deltas, completion = [item async for item in model.stream(request)]
    assert isinstance(completion, Completion)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == completion.message.text
    return completion


def _copy_start(source: Path, target: Path, size_bytes: int) -> None:
    target.write_bytes(source.read_bytes()[:size_bytes])


@pytest.fixture(scope="module")
def loaded(weights: Path) -> Any:
    """One model for all tests of this file: each test's loop uses it in turn."""
    pytest.importorskip("xllamacpp")
    model = LlamaCppModel(weights, profile=PROFILE, threads=1)
    yield model
    model.close()


class TestWithoutAModel:
    async def test_a_missing_file(self, tmp_path: Path) -> None:
        pytest.importorskip("xllamacpp")
        model = LlamaCppModel(tmp_path / "m.gguf", profile=PROFILE)
        with pytest.raises(WeightsError, match=r"m\.gguf.*no such file.*agent models pull"):
            await ask(model, ask_for("hi"))

    async def test_a_truncated_file(self, weights: Path, tmp_path: Path) -> None:
        pytest.importorskip("xllamacpp")
        path = tmp_path / "m.gguf"
        _copy_start(weights, path, 50_000_000)
        with pytest.raises(WeightsError, match="50,000,000 bytes where its header promises 98,362,432"):
            await LlamaCppModel(path, profile=PROFILE).load()

    async def test_a_gguf_that_llama_cpp_does_not_know(self, tmp_path: Path) -> None:
        pytest.importorskip("xllamacpp")
        path = tmp_path / "m.gguf"
        path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(64))
        with pytest.raises(WeightsError, match="could not load it"):
            await LlamaCppModel(path, profile=PROFILE).load()

    async def test_a_model_that_does_not_fit_is_refused_with_the_numbers(self, weights: Path) -> None:
        pytest.importorskip("xllamacpp")
        said: list[str] = []
        small = LlamaCppModel(weights, profile=PROFILE, slots=2, memory_bytes=2**28, on_progress=said.append)
        numbers = (
            r"402 MiB of memory \(weights 94 MiB, a context of 8,192 tokens 180 MiB.*and 256 MiB are free"
        )
        with pytest.raises(WeightsError, match=numbers):
            await ask(small, ask_for("hi"))
        assert said == [], "refused before anything is loaded"

    def test_a_missing_wheel_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(MissingExtraError, match=r"agent-gateway\[llama\]"):
            LlamaCppModel(Path("m.gguf"), profile=PROFILE)

    def test_a_core_is_left_for_the_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for cores, threads in ((1, 1), (2, 1), (8, 7)):
            monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: set(range(n)))
            assert default_threads() == threads


@pytest.mark.model
class TestDecoding:
    async def test_the_same_words_every_time(self, loaded: LlamaCppModel) -> None:
        first = await ask(loaded, ask_for("What is the capital of France?"))
        second = await ask(loaded, ask_for("What is the capital of France?"))
        assert first.message == second.message
        assert first.model == "smollm2-135m"
        assert first.finish_reason is FinishReason.LENGTH
        assert first.usage.output_tokens == 24
        assert second.usage.cached_input_tokens > 30, "the prompt is not read again"

    @pytest.mark.parametrize(
        ("constraint", "allowed"),
        [
            (
                Choice(values=("ja", 'nein "doch"\n', "vielleicht")),
                lambda text: text in {"ja", 'nein "doch"\n', "vielleicht"},
            ),
            (Grammar(gbnf="root ::= [0-9]{2,3}"), lambda text: text.isdigit() and 2 <= len(text) <= 3),
            (JsonSchema(schema=CITY), lambda text: '"city"' in text),
        ],
    )
    async def test_constraints(self, loaded: LlamaCppModel, constraint: Constraint, allowed: Any) -> None:
        completion = await ask(loaded, ask_for("Tell me!", constraint=constraint, max_output_tokens=60))
        assert allowed(completion.message.text)
        assert completion.finish_reason is FinishReason.STOP

    async def test_a_call_that_is_required_is_made_though_the_template_knows_no_tools(
        self, loaded: LlamaCppModel
    ) -> None:
        request = ask_for(
            "What is the weather in Paris?", tools=(WEATHER,), tool_choice="required", max_output_tokens=500
        )
        (call,) = (await ask(loaded, request)).message.tool_calls
        assert call.name == "get.weather"
        assert call.arguments["city"]

    @pytest.mark.parametrize(
        "constraint", [Grammar(gbnf="root ::= nothing"), JsonSchema(schema={"type": "nonsense"})]
    )
    async def test_a_constraint_that_is_none(self, loaded: LlamaCppModel, constraint: Constraint) -> None:
        with pytest.raises(ProviderRefusedError):
            await ask(loaded, ask_for("hi", constraint=constraint))

    async def test_closing_stops_the_decoding(self, loaded: LlamaCppModel) -> None:
        await loaded.load()
        stream = loaded.stream(STORY)
        for _ in range(3):
            await anext(stream)
        began = time.monotonic()
        await stream.aclose()
        assert time.monotonic() - began < 5.0, "the whole story takes longer"
        assert not loaded._decodings

    async def test_two_slots_answer_two_requests_at_once(self, weights: Path) -> None:
        said: list[int] = []

        async def one(model: LlamaCppModel, number: int) -> None:
            async for item in model.stream(ask_for(f"Tell a story of {number}.", max_output_tokens=40)):
                said.append(number if isinstance(item, TextDelta) else 0)  # noqa: PERF401 (two at once: the order counts)

        async with LlamaCppModel(weights, profile=PROFILE, threads=1, slots=2) as model:
            await model.load()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one, model, 1)
                tasks.start_soon(one, model, 2)
        turns = sum(before != after for before, after in pairwise(said))
        assert turns > 10, f"they hardly took turns: {said}"

    async def test_one_slot_answers_in_the_order_of_asking(self, loaded: LlamaCppModel) -> None:
        ended: list[int] = []

        async def one(number: int) -> None:
            await ask(loaded, ask_for("hi", max_output_tokens=4))
            ended.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(one, number)
        assert ended == [0, 1, 2, 3]

    async def test_cancelling_stops_a_prompt_that_is_being_read(self, loaded: LlamaCppModel) -> None:
        await loaded.load()
        began = time.monotonic()
        with anyio.move_on_after(0.2):
            await ask(loaded, ask_for("once upon a time " * 800))
        assert time.monotonic() - began < 5.0, "3,200 tokens take three times as long"
        assert not loaded._decodings

    async def test_the_event_loop_goes_on_while_it_decodes(self, loaded: LlamaCppModel) -> None:
        await loaded.load()
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                began = time.perf_counter()
                await anyio.sleep(0.005)
                longest = max(longest, time.perf_counter() - began)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await ask(loaded, ask_for("Tell a story."))
            tasks.cancel_scope.cancel()
        assert longest < 2.0

    async def test_raw_text_is_continued_without_a_template(self, loaded: LlamaCppModel) -> None:
        completion = await ask(loaded, ask_for("1, 2, 3, 4, 5,", raw=True, max_output_tokens=4))
        assert completion.message.text.startswith(" 6")
        capital = Choice(values=("London", "Paris", "Rome"))
        completion = await ask(
            loaded, ask_for("The capital of France is the city of ", raw=True, constraint=capital)
        )
        assert completion.message.text == "Paris"
        assert completion.usage.input_tokens

    async def test_a_prompt_that_is_no_text(self, loaded: LlamaCppModel) -> None:
        for raw in (False, True):
            with pytest.raises(ProviderRefusedError, match="surrogates"):
                await ask(loaded, ask_for("caf\udcff", raw=raw))

    async def test_counting_tokens(self, loaded: LlamaCppModel) -> None:
        assert await loaded.count_tokens("") == 0
        assert await loaded.count_tokens("hello there") == 2
        assert await loaded.count_tokens("wörter " * 100) > 100

    async def test_close_frees_everything_and_the_next_request_loads_again(self, weights: Path) -> None:
        said: list[str] = []
        async with LlamaCppModel(weights, profile=PROFILE, threads=1, on_progress=said.append) as model:
            await ask(model, ask_for("hi", max_output_tokens=2))
            assert model._loaded is not None
            folder = model._loaded.folder.path
            assert folder.stat().st_mode & 0o077 == 0, "nobody else may use the socket"
            with_model = _resident_mib()
        assert not folder.exists()
        assert with_model - _resident_mib() > 50
        assert said[0] == f"loading {weights.name} (98 MB)"
        assert said[1].startswith(f"{weights.name} is ready after ")
        await ask(model, ask_for("hi", max_output_tokens=2))
        await model.aclose()


CONTROLS = [chr(number) for number in (*range(1, 0x20), *range(0x7F, 0xA1), 0xFFFF, 0x10FFFF)]
VALUES = [
    '"',
    "\\",
    "'",
    '\\"',
    "\\n",
    "\\x41",
    '"quoted" \\ text',
    "[a-z]*",
    "größer ist ü",
    "😀",
    "👩‍👩‍👧 family",
    "  two  spaces ",
    "日本語",
    "e\u0301",
    "\u2028",
    "\ufeff",
    "a\tb\r\nc",
    "",
]


@pytest.mark.model
class TestValues:
    """Raw requests held to a choice."""

    @pytest.mark.parametrize("value", VALUES)
    async def test_come_back_exactly(self, loaded: LlamaCppModel, value: str) -> None:
        one = Choice(values=(value,))
        completion = await ask(loaded, ask_for("Copy: ", raw=True, constraint=one))
        assert completion.message.text == value
        two = Choice(values=("something else", value), log_weights=(-1_000.0, 0.0))
        completion = await ask(loaded, ask_for("Copy: ", raw=True, constraint=two))
        assert completion.message.text == value

    async def test_of_control_characters_come_back_or_are_refused(
        self, loaded: LlamaCppModel, capfd: pytest.CaptureFixture[str]
    ) -> None:
        refused = ""
        for value in CONTROLS:
            request = ask_for("Copy: ", raw=True, constraint=Choice(values=(value,)))
            try:
                assert (await ask(loaded, request)).message.text == value
            except ProviderRefusedError as error:
                assert "no token" in error.reason  # noqa: PT017 (only some are refused)
                refused += value
        some = Choice(values=("\x04", "Paris", "\x06"))
        completion = await ask(loaded, ask_for("The capital of France: ", raw=True, constraint=some))
        assert completion.message.text == "Paris"
        assert refused == "\x04\x06\x13\x14\x16\x1d", "those that the vocabulary lacks"
        assert capfd.readouterr().err == "", "llama.cpp tells of a grammar that it cannot read"

    async def test_split_over_tokens_are_compared(self, loaded: LlamaCppModel) -> None:
        for prompt, values, wanted in (
            ("A smile 😀, a grin 😁, a fish 🐟. The fish again: ", ("😀", "😁", "🐟"), "🐟"),
            ("The Russian word дверь means door. Once more: ", ("окно", "дверь", "дом"), "дверь"),
        ):
            completion = await ask(loaded, ask_for(prompt, raw=True, constraint=Choice(values=values)))
            assert completion.message.text == wanted

    async def test_of_two_hundred(self, loaded: LlamaCppModel) -> None:
        values = tuple(f"value number {n}, größe {n}" for n in range(200))
        prompt = f"Copy: {values[137]}\nCopy: "
        completion = await ask(loaded, ask_for(prompt, raw=True, constraint=Choice(values=values)))
        assert completion.message.text == values[137]

    @pytest.mark.parametrize("constraint", [None, Choice(values=("a", "b"))])
    async def test_behind_a_prompt_over_the_context(
        self, loaded: LlamaCppModel, constraint: Constraint | None
    ) -> None:
        with pytest.raises(ContextTooLongError) as refused:
            await ask(loaded, ask_for("word " * 5_000, raw=True, constraint=constraint))
        assert refused.value.tokens > refused.value.limit == PROFILE.context_tokens

    @pytest.mark.parametrize("constraint", [None, Choice(values=("a", "b"))])
    async def test_can_be_cancelled(self, loaded: LlamaCppModel, constraint: Constraint | None) -> None:
        await loaded.load()
        began = time.monotonic()
        with anyio.move_on_after(0.2):
            await ask(loaded, ask_for("upon a time once " * 800, raw=True, constraint=constraint))
        assert time.monotonic() - began < 5.0, "3,200 tokens take three times as long"
        assert not loaded._decodings
        assert (await ask(loaded, ask_for("1, 2, 3,", raw=True, max_output_tokens=2))).message.text == " 4"

    async def test_a_raw_reply_that_is_being_written_can_be_cancelled(self, loaded: LlamaCppModel) -> None:
        await loaded.load()
        began = time.monotonic()
        with anyio.move_on_after(0.5):
            await ask(loaded, ask_for("Once upon a time", raw=True, max_output_tokens=3_000))
        assert time.monotonic() - began < 6.0, "3,000 tokens take longer"
        assert not loaded._decodings


def _resident_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4 // 1_024


@pytest.mark.model
class TestConformance(ChatModelConformance):
    constraints: tuple[Constraint, ...] = (Choice(values=("yes", "no")),)
    too_long = "word " * 5_000

    @pytest.fixture(autouse=True)
    def _model(self, loaded: LlamaCppModel) -> None:
        self.loaded = loaded

    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        @asynccontextmanager
        async def kept() -> AsyncIterator[ChatModel]:
            yield self.loaded

        return kept()


@pytest.fixture(scope="module")
def address(weights: Path) -> Any:
    """llama.cpp's own server, to be asked as any OpenAI-compatible server."""
    engine = pytest.importorskip("xllamacpp")
    params = engine.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = 1_024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.verbosity = -1
    server = engine.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.mark.model
class TestOverHttp:
    async def test_the_same_words_as_in_process(self, address: str, loaded: LlamaCppModel) -> None:
        request = ask_for("What is the capital of France?", temperature=0.0, max_output_tokens=6)
        async with connect("openai:smollm2", base_url=address) as model:
            remote = await ask(model, request)
            choice = await ask(model, ask_for("Yes or no?", constraint=Choice(values=("yes", "no"))))
            stream = model.stream(STORY)
            await anext(stream)
            await stream.aclose()
        assert remote.message == (await ask(loaded, request)).message
        assert remote.usage.output_tokens == 6
        assert choice.message.text in {"yes", "no"}

    @pytest.mark.parametrize("union_root", [True, False])
    async def test_constrained_tool_calling(self, address: str, union_root: bool) -> None:
        """By a schema alone, which any compatible server takes."""
        async with connect("openai:smollm2", base_url=address) as model:
            profile = msgspec.structs.replace(
                model.profile, schema_limits=SchemaLimits(union_root=union_root, string_chars=20)
            )
            shots = (ToolExample(utterance="the weather in Rome", arguments={"city": "Rome"}),)
            offers = (ToolOffer(spec=WEATHER, shots=shots),)
            view = TurnView(messages=(user("the weather in Oslo"),), offers=offers, profile=profile, turn=1)
            message = await taken(model, constrained(view))
        assert message.tool_calls or (message.text and "{" not in message.text), "read as a call or an answer"
        for call in message.tool_calls:
            assert call.name == "get.weather"
            assert 0 < len(str(call.arguments["city"])) <= 20

    async def test_routed_tool_calling_without_grammars(self, address: str) -> None:
        async with connect("openai:smollm2", base_url=address) as model:
            profile = msgspec.structs.replace(model.profile, grammars=False)
            shots = (ToolExample(utterance="the weather in Rome", arguments={"city": "Rome"}),)
            offers = (ToolOffer(spec=WEATHER, proposed=True, shots=shots),)
            view = TurnView(messages=(user("the weather in Oslo"),), offers=offers, profile=profile, turn=1)
            message = await taken(model, routed(view))
        (call,) = message.tool_calls
        assert isinstance(call.arguments["city"], str)


async def taken(model: ChatModel, turn: Turn) -> Message:
    """What the turn comes to, asking the model for real."""
    asked = next(turn)
    while True:
        completion = await ask(model, asked.request)
        try:
            asked = turn.send(completion)
        except StopIteration as stop:
            return stop.value.message
