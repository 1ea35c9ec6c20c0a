"""llama.cpp in this process, through the wheel `xllamacpp` (extra `llama`).

The wheel's calls block and hand over each chunk in a callback; they run in worker threads, and the chunks reach the
event loop without it ever waiting. Speaks OpenAI Chat Completions inside, so the dialect does the translation.

Must not know how a model is chosen or where its weights come from.
"""

import contextlib
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeVar, cast

import anyio.to_thread
import msgspec

from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest, TextDelta
from agent_gateway.compat import LLAMA_CPP, Compat
from agent_gateway.dialects.chat_request import encode_request
from agent_gateway.dialects.openai_chat import StreamDecoder
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.engines.decoding import Decodings
from agent_gateway.engines.held_calls import held_request
from agent_gateway.engines.in_process import InProcessModel
from agent_gateway.engines.llama_completion import RawCompletion
from agent_gateway.engines.memory import give_back, refuse_too_large
from agent_gateway.engines.replies import Reply, as_call
from agent_gateway.errors import (
    MissingExtraError,
    ProviderRefusedError,
    ProviderUnavailableError,
    WeightsError,
)
from agent_gateway.gguf import read_info
from agent_gateway.scratch import ScratchFolder
from agent_gateway.seeing import as_seen
from agent_gateway.weights import PULL_ADVICE, OnProgress

# Prompts are read in batches, and only between two of them can a request be stopped: about a second of a small
# model on one core. Reading 1,500 tokens took 11.7 s in batches of 128 and 12.2 s in one of 2,048.
_BATCH_TOKENS = 128
# Prompts that left their slot are kept here, so that alternating requests do not read them again; llama.cpp's own
# default of 8 GiB is no default for a small machine.
_PROMPT_CACHE_MIB = 256
_SOCKET = "server.sock"
_COMPAT = msgspec.structs.replace(LLAMA_CPP, extra={"return_progress": True, "cache_prompt": True})


T = TypeVar("T")
_OnChunk: TypeAlias = Callable[[bytes], bool]
"""Called in the worker thread with each chunk; true stops the engine."""


class _Server(Protocol):  # Types the foreign class; it is no port.
    listening_address: str

    def handle_chat_completions(self, request: bytes, callback: Callable[[bytes], bool], /) -> None: ...

    def handle_completions(self, request: bytes, callback: Callable[[bytes], bool], /) -> None: ...


class _Open(NamedTuple):
    """A model that is loaded."""

    server: _Server
    folder: ScratchFolder
    """Where its socket is."""
    template_has_tools: bool


def default_threads() -> int:
    """The cores that this process may use, less one, and at least one.

    llama.cpp's threads wait for each other by spinning: with as many threads as cores, anything else that runs
    stops them all. On two shared cores two threads gave 2 tokens/s where one gave 50; alone they give 70.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


class LlamaCppModel(InProcessModel[_Open]):
    """A GGUF file as a `ChatModel`. Loads at the first use; needs no network and opens no port.

    At temperature 0 unless a request says otherwise. `slots` requests are decoded at once, further ones wait.
    """

    def __init__(
        self,
        path: Path,
        *,
        profile: ModelProfile,
        threads: int | None = None,
        slots: int = 1,
        compat: Compat = _COMPAT,
        on_progress: OnProgress | None = None,
        verbose: bool = False,
        memory_bytes: int | None = None,
    ) -> None:
        """`threads` for decoding, `default_threads()` if None; `verbose` lets llama.cpp log to stderr. `memory_bytes`
        is what the model may take at most; None: what is free when it is loaded.

        Raises:
            MissingExtraError: the wheel `xllamacpp` is not installed.
        """
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtraError("xllamacpp", "llama")
        super().__init__("llama.cpp", profile=profile, on_progress=on_progress)
        self._path = path
        self._threads = threads or default_threads()
        self._slots_count = slots
        self._compat = compat
        self._verbose = verbose
        self._memory_bytes = memory_bytes
        self._decodings = Decodings(slots, "llama")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator stops the decoding before it returns.

        Raises:
            WeightsError, MissingExtraError: as `load`.
            ContextTooLongError: before anything is decoded.
            ProviderRefusedError: llama.cpp refuses the request, such as a grammar that is none.
        """
        request = as_seen(request, self._profile)
        model = await self._ready()
        async with self._decodings.turn():
            replies = self._continue(model.server, request) if request.raw else self._called(model, request)
            async with contextlib.aclosing(replies):
                async for item in replies:
                    yield item

    async def _called(self, model: _Open, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """A chat. Where the model's template has no tools, llama.cpp leaves them out and does as if none were asked
        for, even if one must be called.
        """
        held = None if model.template_has_tools else held_request(request, self._profile.schema_limits)
        reply = Reply(self._target.model, names=wire_names(request.tools), held=held is not None)
        async with (
            contextlib.aclosing(self._chat(model.server, held or request)) as items,
            contextlib.aclosing(as_call(items, reply) if held else items) as shown,
        ):
            async for item in shown:
                yield item

    async def _chat(self, server: _Server, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        body = self._encode(request)
        decoder = StreamDecoder(self._target, names=wire_names(request.tools), model=self._target.model)
        async with self._decodings.run(partial(server.handle_chat_completions, body)) as decoding:
            async for data in decoding.chunks():
                for item in decoder.take(data):
                    yield item
            decoding.result(self._target)
        yield decoder.finish()

    async def _continue(self, server: _Server, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """A raw request. It is short, so it is shown as a whole."""

        def complete(on_chunk: _OnChunk) -> Completion:
            def ask(fields: Mapping[str, object]) -> list[bytes]:
                if on_chunk(b""):
                    raise ProviderUnavailableError(self._target.where, "the request was cancelled")
                chunks: list[bytes] = []

                def keep(data: bytes) -> bool:
                    chunks.append(data)
                    return on_chunk(b"")

                server.handle_completions(msgspec.json.encode(fields), keep)
                return chunks

            return RawCompletion(ask, self._target, self._compat).complete(self._bounded(request))

        async with self._decodings.run(complete) as decoding:
            await decoding.ended()
            completion = decoding.result(self._target)
        if completion.message.text:
            yield TextDelta(completion.message.text)
        yield completion

    async def load(self) -> None:
        """Load the weights now rather than at the first request; does nothing where they are loaded.

        The wheel holds the interpreter while it reads them, 0.4 to 3.4 s for the embedded model, and the event loop
        stands still for as long, although a thread does the work. A server therefore awaits this at its start,
        before it listens; a command line need not.

        Raises:
            WeightsError: the file is missing, truncated, no GGUF, larger than the memory that is free, or of a kind
                that llama.cpp does not know.
        """
        await super().load()

    async def count_tokens(self, text: str) -> int:
        """The number of tokens of `text` alone, without a chat template around it."""
        folder = (await self._ready()).folder
        from agent_gateway.engines.socket_tokens import count_tokens  # noqa: PLC0415 (loads the standard HTTP client)

        return await anyio.to_thread.run_sync(count_tokens, folder.path / _SOCKET, text)

    def close(self) -> None:
        """Stop what is being decoded, wait until it has stopped, and free the memory. Blocking; see `aclose`.

        The next request loads the model again.
        """
        self._decodings.stop()
        model = self._unload()
        if model is not None:
            folder = model.folder
            del model  # with which the weights go
            give_back()
            folder.remove()

    def _encode(self, request: ModelRequest) -> bytes:
        fields = encode_request(self._bounded(request), model=self._target.model, compat=self._compat)
        try:
            return msgspec.json.encode(fields)
        except UnicodeEncodeError as error:  # half a surrogate pair, such as a file name that is no text
            raise ProviderRefusedError(self._target.where, str(error)) from error

    def _bounded(self, request: ModelRequest) -> ModelRequest:
        """Nothing is left to defaults of llama.cpp, which writes until the context is full."""
        tokens = request.max_output_tokens or self._profile.reply_tokens
        return msgspec.structs.replace(
            request, max_output_tokens=tokens, temperature=request.temperature or 0.0
        )

    def _start(self) -> _Open:
        info = read_info(self._path, advice=PULL_ADVICE)
        tokens = self._profile.context_tokens * self._slots_count
        refuse_too_large(self._path, info, context_tokens=tokens, free_bytes=self._memory_bytes)
        began = time.monotonic()
        self._say(f"loading {self._path.name} ({self._path.stat().st_size // 1_000_000} MB)")
        engine = importlib.import_module("xllamacpp")
        params = engine.CommonParams()
        params.model.path = str(self._path)
        params.n_parallel = self._slots_count
        params.n_ctx = tokens
        params.n_batch = _BATCH_TOKENS
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        params.use_jinja = True
        params.cache_ram_mib = _PROMPT_CACHE_MIB
        params.ui = False
        params.n_threads_http = 1
        params.verbosity = 3 if self._verbose else -1
        # The wheel always listens. A socket in a folder of our own keeps everybody else out; a port would not.
        folder = ScratchFolder(Path(tempfile.gettempdir()), "agent-llama-")
        params.hostnames = [str(folder.path / _SOCKET)]
        try:
            server = engine.Server(params)
        except RuntimeError as error:
            folder.remove()
            reason = "llama.cpp could not load it (unknown architecture, or too little memory)"
            raise WeightsError(
                self._path, reason, "open it with verbose=True to see llama.cpp's log"
            ) from error
        self._say(f"{self._path.name} is ready after {time.monotonic() - began:.1f} s")
        return _Open(cast("_Server", server), folder, info.template_has_tools)
