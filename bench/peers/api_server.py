"""Our daemon over a scripted model or over a provider, or bare Litestar beside it: `python -P api_server.py daemon|bare|BASE_URL`.

It prints one JSON object with its pid, address and key, then serves until it is killed. At SIGUSR1 every stream that waits
goes on: see `DELTAS` and `PAUSE_S`.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import uvicorn
import uvloop
from litestar import Litestar, get, post
from litestar.di import NamedDependency
from litestar.response import Stream

from agent_api.access.gate import Principal
from agent_api.access.scopes import Scope
from agent_api.app import create_app
from agent_api.composition import Machine, connect_model
from agent_api.daemon import open_daemon
from agent_api.serving import server_config, share_free_memory, spare_the_collector
from agent_api.settings import Settings
from agent_api.supervisor import Supervisor
from agent_core.chat import Completion, ModelProfile, TextDelta
from agent_core.messages import Usage, assistant
from agent_skills import probe

STREAMED = "Streamed."
"""A prompt that is answered in deltas, once all streams are there; any other is answered at once."""
DELTAS, PAUSE_S = 100, 0.02
ANSWER = "It is sunny in Lisbon, 24 degrees, with a light wind from the sea."
FRAME = b'event: text.delta\ndata: {"type":"text.delta","text":" word"}\n\n'


class Pong(msgspec.Struct):
    """What a ping gets."""

    ok: bool = True


class Starts:
    """What streams wait for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._go)

    def _go(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class PacedModel:
    """Answers at once, or word by word."""

    profile = ModelProfile(name="bench:paced")

    def __init__(self, starts: Starts) -> None:
        self._starts = starts

    async def stream(self, request):
        if request.messages[-1].text == STREAMED:
            await self._starts.wait()
            for _ in range(DELTAS):
                await asyncio.sleep(PAUSE_S)
                yield TextDelta(" word")
            await asyncio.sleep(5)  # what ends a run is not measured with its deltas
        else:
            yield TextDelta(ANSWER)
        yield Completion(
            message=assistant(ANSWER), model="paced", usage=Usage(input_tokens=10, output_tokens=10)
        )

    async def aclose(self) -> None:
        """Holds nothing."""


@post("/bench/ping", opt={"scope": Scope.RUNS_WRITE}, status_code=200)
async def ping(principal: NamedDependency[Principal], supervisor: NamedDependency[Supervisor]) -> Pong:
    return Pong(ok=bool(principal.tenant and supervisor))


@post("/bench/ping", status_code=200)
async def bare_ping() -> Pong:
    return Pong()


def bare() -> Litestar:
    starts = Starts()

    @get("/stream")
    async def stream() -> Stream:
        async def frames() -> AsyncIterator[bytes]:
            yield b"event: open\ndata: {}\n\n"
            await starts.wait()
            for _ in range(DELTAS):
                await asyncio.sleep(PAUSE_S)
                yield FRAME
            await asyncio.sleep(5)

        return Stream(frames(), media_type="text/event-stream")

    return Litestar([bare_ping, stream], openapi_config=None, logging_config=None)


async def serve(config: uvicorn.Config, key: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2_000)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    print(json.dumps({"pid": os.getpid(), "address": address, "key": key}), flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


async def serve_daemon(folder: str, base_url: str = "") -> None:
    share_free_memory()
    (Path(folder) / "workspace").mkdir()
    settings = Settings(
        data_dir=f"{folder}/data",
        workspace=f"{folder}/workspace",
        plugins=False,
        max_runs=1_000,
        model="openai:m",
        base_url=base_url,
        api_key="k",
    )
    model = connect_model(settings) if base_url else PacedModel(Starts())
    machine = Machine(settings=settings, model=model, levels=await probe())
    async with open_daemon(machine) as daemon:
        gate = create_app(daemon)
        gate._app.register(ping)  # noqa: SLF001  # what a route costs that does nothing itself
        spare_the_collector()
        await serve(server_config(gate), daemon.first_key)


async def main() -> None:
    if sys.argv[1] == "bare":
        await serve(uvicorn.Config(bare(), log_config=None, access_log=False, server_header=False), "")
        return
    with tempfile.TemporaryDirectory() as folder:
        await serve_daemon(folder, "" if sys.argv[1] == "daemon" else sys.argv[1])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
