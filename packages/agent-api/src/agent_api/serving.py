"""Serving the application: one socket, our own signals, word to systemd."""

import ctypes
import gc
import logging
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, cast

import anyio
import uvicorn

from agent_api.access.asgi import Application
from agent_api.app import create_app
from agent_api.composition import load_model, open_machine
from agent_api.daemon import Daemon, open_daemon
from agent_api.listening import listening
from agent_api.replying import ReplyProtocol
from agent_api.settings import Origin, Settings
from agent_api.settings_checks import check
from agent_api.systemd import notify
from agent_core.errors import ModelError

if TYPE_CHECKING:
    from uvicorn._types import ASGIApplication

logger = logging.getLogger("agentd")

GRACE_S = 4
"""How long requests under way may take to end; systemd waits longer than this."""
_M_ARENA_MAX = -8
"""As malloc.h has it."""


class _Server(uvicorn.Server):
    """uvicorn with its signals left to us, and a call once it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


async def serve(
    settings: Settings, *, on_listening: Callable[[str, str], None], origins: Sequence[Origin] = ()
) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    `on_listening` is told the address, and the admin key if this start made the first one; `origins` says where settings are set.
    Runs that are under way stay in the journal as they are; the next start resumes them.

    Raises:
        OpenBindError: the address is not loopback.
        SettingsError: a setting is wrong, or the address cannot be listened on.
    """
    share_free_memory()
    async with open_machine(settings) as machine:
        await check(settings, machine.levels, origins)
        with listening(settings) as (listener, address):
            trouble = ""
            try:
                await load_model(machine)
            except ModelError as error:
                trouble = str(error)
                logger.warning("the model is not ready: %s", error)
            async with _until_told_to_stop() as stop, open_daemon(machine) as daemon:
                daemon.tenants.model_trouble = trouble
                await _serve(daemon, listener, lambda: on_listening(address, daemon.first_key), stop)


class _Stop:
    """What a signal comes to: what begins is broken off, what serves ends its streams and is drained."""

    def __init__(self, starting: anyio.CancelScope) -> None:
        self._stop: Callable[[], None] = starting.cancel

    def serving(self, daemon: Daemon, server: uvicorn.Server) -> None:
        """From now on there is something to drain."""

        def drain() -> None:
            daemon.tenants.shut_down()
            server.should_exit = True

        self._stop = drain

    async def on_signal(self, signals: AsyncIterator[signal.Signals]) -> None:
        """Stop at the first signal; later ones change nothing."""
        async for _ in signals:
            notify("STOPPING=1")
            self._stop()


@asynccontextmanager
async def _until_told_to_stop() -> AsyncGenerator[_Stop]:
    """Signals are ours as long as the block lasts; one that comes before anything serves ends it."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            stop = _Stop(tasks.cancel_scope)
            tasks.start_soon(stop.on_signal, signals)
            yield stop
            tasks.cancel_scope.cancel()


def share_free_memory(arenas: int = 2) -> None:
    """Let all threads begun from now on take their memory from so few arenas: glibc keeps what is free apart for each thread.

    A daemon has a dozen threads that are each used now and then, and would hold 15 MB more; an ingest 100 MB. No other C
    library has this (mallopt(3)).
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, arenas)


def spare_the_collector() -> None:
    """Leave what was made until now out of every garbage collection, and collect more rarely: a stream makes little waste."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def server_config(app: Application) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        cast("ASGIApplication", app),
        http=ReplyProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )


async def _serve(
    daemon: Daemon, listener: socket.socket, on_started: Callable[[], None], stop: _Stop
) -> None:
    config = server_config(create_app(daemon))

    def started() -> None:
        notify("READY=1\nSTATUS=listening")
        on_started()

    server = _Server(config, started)
    spare_the_collector()
    stop.serving(daemon, server)
    await server.serve(sockets=[listener])
