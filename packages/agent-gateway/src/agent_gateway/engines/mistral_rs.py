"""mistral.rs in this process, through the wheel `mistralrs` (extra `mistralrs`).

Its iterators block; each is read in a worker thread. It stops a reply when the iterator is dropped, and between two
tokens only: a prompt that is being read is read to its end, whoever has hung up. Facts of version 0.9.5, November 2026.

Must not know how a model is chosen or where its weights come from.
"""

import contextlib
import importlib
import importlib.util
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import anyio.to_thread
import msgspec

from agent_core.chat import (
    Choice,
    Completion,
    Constraint,
    Delta,
    JsonSchema,
    ModelProfile,
    ModelRequest,
)
from agent_core.errors import ContextTooLongError
from agent_core.messages import Usage
from agent_core.tool_modes.turn import readable
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.engines.decoding import Decodings
from agent_gateway.engines.held_calls import held_request
from agent_gateway.engines.in_process import InProcessModel
from agent_gateway.engines.lark import compact, lark_choice, lark_grammar
from agent_gateway.engines.llama_cpp import default_threads
from agent_gateway.engines.memory import refuse_too_large, resident_bytes, wait_until_freed
from agent_gateway.engines.replies import Piece, Reply, call_of
from agent_gateway.errors import MissingExtraError, WeightsError
from agent_gateway.gguf import read_info
from agent_gateway.weights import PULL_ADVICE, OnProgress

_THREAD_SETTINGS = ("CANDLE_NUM_THREADS", "RAYON_NUM_THREADS")
_LOG_SETTING = "RUST_LOG"
_TEMPLATE_TOKENS = 16
"""What a chat template puts around one message, at most; the engine counts itself only once it reads."""
_LOOK_S = 0.1
_ENDING_S = 3.0
_PATIENCE_S = 1.0
"""A reply stops within a token; a prompt that takes longer than this to read goes on by itself."""
_OnPiece: TypeAlias = Callable[[Piece], bool]


class _Runner(Protocol):  # Types the foreign classes; they are no ports.
    def send_chat_completion_request(self, request: object, /) -> Iterator["_Chunk"]: ...

    def send_completion_request(self, request: object, /) -> "_Chunk": ...

    def tokenize_text(
        self, text: str, add_special_tokens: bool, enable_thinking: bool | None, /
    ) -> list[int]: ...


class _Usage(Protocol):
    prompt_tokens: int
    completion_tokens: int


class _Function(Protocol):
    name: str
    arguments: str


class _Call(Protocol):
    id: str
    function: _Function


class _Said(Protocol):
    content: str | None
    tool_calls: list[_Call] | None


class _Choice(Protocol):
    delta: _Said
    """Of a chunk."""
    text: str
    """Of a raw reply."""
    finish_reason: str | None


class _Chunk(Protocol):
    choices: list[_Choice]
    usage: _Usage | None


class MistralRsModel(InProcessModel[_Runner]):
    """A GGUF file as a `ChatModel` on mistral.rs. Loads at the first use; needs no network and opens no port.

    At temperature 0 unless a request says otherwise. Up to `slots` replies are written at once, token by token in
    turn; prompts are read one after the other. A raw request is answered whole and runs alone.
    """

    def __init__(
        self,
        path: Path,
        *,
        profile: ModelProfile,
        threads: int | None = None,
        slots: int = 1,
        on_progress: OnProgress | None = None,
        verbose: bool = False,
        memory_bytes: int | None = None,
    ) -> None:
        """`threads`, `verbose` and `memory_bytes` as for `LlamaCppModel`. The engine reads its threads and its log
        level from the environment once in a process, so those of the first model hold for all.

        Raises:
            MissingExtraError: the wheel `mistralrs` is not installed.
        """
        if importlib.util.find_spec("mistralrs") is None:
            raise MissingExtraError("mistralrs", "mistralrs")
        super().__init__("mistral.rs", profile=profile, on_progress=on_progress)
        self._path = path
        self._threads = threads or default_threads()
        self._slots = slots
        self._verbose = verbose
        self._memory_bytes = memory_bytes
        # Two prompts of one length that are read at once break the engine ("input tensor is not contiguous"), and
        # its runner is busy for others while it takes a request.
        self._reading = threading.Lock()
        self._decodings = Decodings(slots, "mistralrs")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator stops the reply, once the prompt is read.

        Raises:
            WeightsError, MissingExtraError: as `load`.
            ContextTooLongError: before anything is read.
            ProviderRefusedError: mistral.rs refuses the request, or it holds pictures or files.
        """
        request = self._as_text(request)
        runner = await self._ready()
        held = held_request(request, self._profile.schema_limits)
        reply = Reply(self._target.model, names=wire_names(request.tools), held=held is not None)
        work = partial(self._continued if request.raw else self._chatted, runner, held or request)
        async with self._decodings.turn(), self._decodings.run(work, patience_s=_PATIENCE_S) as decoding:
            async for piece in decoding.chunks():
                for delta in reply.take(piece):
                    yield delta
            decoding.result(self._target)
        for item in reply.end():
            yield item

    async def count_tokens(self, text: str) -> int:
        """The number of tokens of `text` alone, without a chat template around it."""
        runner = await self._ready()
        return await anyio.to_thread.run_sync(self._count, runner, text)

    def close(self) -> None:
        """Stop what is being written, wait until it has stopped, and free the memory. Blocking; see `aclose`.

        The next request loads the model again.
        """
        self._decodings.stop()
        held_bytes = resident_bytes()
        if (
            self._unload() is not None
        ):  # the engine's own thread drops the weights, a fifth of a second later and more
            size = self._path.stat().st_size if self._path.exists() else 0
            wait_until_freed(size, before_bytes=held_bytes, within_s=_ENDING_S)

    # In the worker thread.

    def _chatted(self, runner: _Runner, request: ModelRequest, on_piece: _OnPiece) -> None:
        engine = importlib.import_module("mistralrs")
        self._refuse_too_long(runner, request)
        names = wire_names(request.tools)
        asked = engine.ChatCompletionRequest(**self._fields(engine, request), stream=True)
        with self._reading_turn(on_piece) as has_turn:
            if not has_turn:
                return
            chunks = runner.send_chat_completion_request(asked)
            first = next(chunks, None)
        if first is None or on_piece(_piece(first, names)):
            return
        for chunk in chunks:
            if on_piece(_piece(chunk, names)):
                return

    def _continued(self, runner: _Runner, request: ModelRequest, on_piece: _OnPiece) -> None:
        """Raw text has no stream in this engine. Such requests are short."""
        engine = importlib.import_module("mistralrs")
        self._refuse_too_long(runner, request)
        fields = {**self._settings(request), "prompt": "".join(message.text for message in request.messages)}
        with self._reading_turn(on_piece) as has_turn:
            if not has_turn:
                return
            said = runner.send_completion_request(engine.CompletionRequest(**fields))
        choice = said.choices[0]
        on_piece(Piece(text=choice.text, finish=choice.finish_reason or "", usage=_usage(said.usage)))

    @contextlib.contextmanager
    def _reading_turn(self, on_piece: _OnPiece) -> Generator[bool]:
        """Wait for the engine to take a request; False where the request was cancelled meanwhile."""
        while not self._reading.acquire(timeout=_LOOK_S):
            if on_piece(Piece()):
                yield False
                return
        try:
            yield not on_piece(Piece())
        finally:
            self._reading.release()

    def _fields(self, engine: Any, request: ModelRequest) -> dict[str, object]:
        wire_of = {name: wire for wire, name in wire_names(request.tools).items()}
        fields: dict[str, object] = {
            **self._settings(request),
            "messages": [{"role": one.role, "content": one.text} for one in readable(request.messages)],
        }
        if request.tools and request.tool_choice != "none":
            fields["tool_choice"] = engine.ToolChoice.Auto
            fields["tool_schemas"] = [
                msgspec.json.encode(
                    {
                        "type": "function",
                        "function": {
                            "name": wire_of[tool.name],
                            "description": tool.description,
                            "parameters": tool.parameters,
                        },
                    }
                ).decode()
                for tool in request.tools
            ]
        return fields

    def _settings(self, request: ModelRequest) -> dict[str, object]:
        constraint = request.constraint
        optional: dict[str, object] = {
            "repetition_penalty": request.repeat_penalty,
            "stop_seqs": list(request.stop) or None,
            "top_p": request.top_p,
            "top_k": request.top_k,
        }
        return {
            "model": self._target.model,
            "max_tokens": request.max_output_tokens or self._profile.reply_tokens,
            "temperature": request.temperature or 0.0,
            **{name: value for name, value in optional.items() if value is not None},
            **({} if constraint is None else _grammar(constraint)),
        }

    def _refuse_too_long(self, runner: _Runner, request: ModelRequest) -> None:
        """The engine's own refusal has no numbers."""
        text = "\n".join(message.text for message in readable(request.messages))
        tokens = self._count(runner, text)
        around = 0 if request.raw else _TEMPLATE_TOKENS * len(request.messages)
        limit = self._profile.context_tokens
        if tokens + around >= limit:
            raise ContextTooLongError(self._target.model, max(tokens + around, limit + 1), limit)

    def _count(self, runner: _Runner, text: str) -> int:
        with self._reading:
            return len(runner.tokenize_text(text, False, None))

    def _start(self) -> _Runner:
        info = read_info(self._path, advice=PULL_ADVICE)
        tokens = self._profile.context_tokens * self._slots
        refuse_too_large(self._path, info, context_tokens=tokens, free_bytes=self._memory_bytes)
        began = time.monotonic()
        self._say(f"loading {self._path.name} ({self._path.stat().st_size // 1_000_000} MB)")
        for setting in _THREAD_SETTINGS:
            # Its threads wait for each other by spinning: with as many as there are cores, on a machine that also
            # does other things, 1 token/s where one thread gave 8.
            os.environ.setdefault(setting, str(self._threads))
        os.environ.setdefault(_LOG_SETTING, "info" if self._verbose else "off")
        engine = importlib.import_module("mistralrs")
        path = self._path.absolute()
        which = engine.Which.GGUF(quantized_model_id=str(path.parent), quantized_filename=path.name)
        try:
            runner = engine.Runner(which=which, max_seqs=self._slots, token_source="none")  # noqa: S106 (no secret)
        except (ValueError, RuntimeError) as error:
            reason = f"mistral.rs could not load it ({_first_line(error)})"
            raise WeightsError(
                self._path, reason, "choose a model of an architecture that it knows"
            ) from error
        self._say(f"{self._path.name} is ready after {time.monotonic() - began:.1f} s")
        return cast("_Runner", runner)


def _piece(chunk: _Chunk, names: Mapping[str, str]) -> Piece:
    usage = _usage(chunk.usage)
    if not chunk.choices:
        return Piece(usage=usage)
    choice = chunk.choices[0]
    calls = tuple(
        call_of(call.function.name, call.function.arguments, names, call.id)
        for call in choice.delta.tool_calls or ()
    )
    return Piece(text=choice.delta.content or "", calls=calls, finish=choice.finish_reason or "", usage=usage)


def _usage(usage: _Usage | None) -> Usage | None:
    if usage is None:
        return None
    return Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)


def _grammar(constraint: Constraint) -> dict[str, str]:
    match constraint:
        case JsonSchema(schema=schema):
            return {"grammar": msgspec.json.encode(compact(schema)).decode(), "grammar_type": "json_schema"}
        case Choice(values=values):
            return {"grammar": lark_choice(values), "grammar_type": "lark"}
        case _:
            return {"grammar": lark_grammar(constraint.gbnf), "grammar_type": "lark"}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
