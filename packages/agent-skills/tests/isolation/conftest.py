"""The levels as this machine has them, and workers at each."""

import contextlib
import functools
from pathlib import Path

import anyio
import msgspec
import pytest

from agent_skills.isolation import bubblewrap, landlock
from agent_skills.isolation.levels import probe
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox, plain

ATTEMPTS = Path(__file__).with_name("attempts.py")
SYSTEM = Interpreter(executable="/usr/bin/python3", needs=())
"""An interpreter that everybody may read: root becomes nobody under landlock, and its own may lie in a home."""
CONFINED = {"bubblewrap": (bubblewrap.launch, Interpreter.own()), "landlock": (landlock.launch, SYSTEM)}


@functools.cache
def missing(mechanism):
    """Why a way to a sandbox is not there; empty: it is."""
    _, interpreter = CONFINED[mechanism]
    if not Path(interpreter.executable).exists():
        return f"there is no {interpreter.executable}"
    levels = anyio.run(probe, interpreter)
    return next(
        (one.detail for one in levels.reports if one.mechanism == mechanism and not one.available), ""
    )


@pytest.fixture(params=sorted(CONFINED))
def mechanism(request):
    if reason := missing(request.param):
        pytest.skip(f"no sandbox by {request.param} here: {reason}")
    return request.param


@pytest.fixture
def start(mechanism):
    """Starts a worker in a sandbox that can read `attempts.py` and nothing else of ours."""

    @contextlib.asynccontextmanager
    async def started(sandbox=Sandbox(), *, at=mechanism):  # noqa: B008 - frozen
        launch, interpreter = CONFINED[at]
        worker = await WorkerProcess.start(
            "attempt", launch(sandbox, interpreter, Imports(modules={"attempts": str(ATTEMPTS)}))
        )
        try:
            yield worker
        finally:
            await worker.aclose()

    return started


@pytest.fixture
def start_plain():
    """Starts a worker of level 1."""

    @contextlib.asynccontextmanager
    async def started():
        launch = plain()
        launch = msgspec.structs.replace(launch, path=(*launch.path, str(ATTEMPTS.parent)))
        worker = await WorkerProcess.start("plain", launch)
        try:
            yield worker
        finally:
            await worker.aclose()

    return started
