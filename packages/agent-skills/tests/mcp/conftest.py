"""Real servers on loopback: the one with every feature, and plain ones of a test's own."""

import contextlib
import importlib.util
import socket
import sys
from pathlib import Path

import anyio
import pytest
import uvicorn

from agent_skills.mcp.server.asgi import McpHttp

HERE = Path(__file__).parent


def load(name):
    """A module that lies beside the tests."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@contextlib.asynccontextmanager
async def served(application):
    """Serve an ASGI application on a free port of loopback; gives its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, log_level="error", lifespan="off", timeout_graceful_shutdown=1, ws="none"
        )
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(10):
                while not server.started:
                    await anyio.sleep(0.01)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True


@pytest.fixture
def everything():
    return load("everything_server")


@pytest.fixture
async def everything_url(everything):
    async with served(McpHttp(everything.SERVER)) as url:
        yield url


@pytest.fixture
def serve():
    return served
