"""A plugin that tests load into workers: skills that work, and skills that misbehave."""

import os
import signal
import threading
import time
from typing import Literal

import msgspec

from agent_core.ports import ToolContext
from agent_core.tools import Label
from agent_skills import Progress, Secrets, SkillFailedError, hookimpl, skill


class Order(msgspec.Struct):
    count: int
    colour: Literal["red", "blue"] = "red"


@skill(labels=[Label.READS_PRIVATE], idempotent=True, examples=[("echo a", {"text": "a"})])
def odd_echo(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


@skill
def order(wanted: Order, context: ToolContext) -> dict[str, object]:
    """Order something."""
    return {"count": wanted.count, "colour": wanted.colour, "run": context.run_id}


@skill
async def odd_async(a: int) -> int:
    """Add one, later."""
    import asyncio

    await asyncio.sleep(0)
    return a + 1


@skill
async def in_steps(count: int):
    """Go on in steps."""
    for n in range(count):
        yield Progress(text=f"step {n}", done=n, total=count)
    yield f"{count} steps"


@skill(secrets=["odd_key"])
def use_secret(keys: Secrets) -> str:
    """Say what the environment and the arguments hold."""
    return f"given {keys['odd_key']}, environment {os.environ.get('AGENT_SECRET_ODD_KEY')}, shown {keys}"


@skill(hosts=["api.example.org"])
def call_out() -> str:
    """Call a host."""
    return "called"


@skill(timeout_s=0.3)
def take_for_ever(how: str) -> None:
    """Do not end in time."""
    if how == "spin":
        while True:
            pass
    threading.Event().wait(3)


@skill
def wait_for(path: str) -> str:
    """Wait until a file is there."""
    while not os.path.exists(path):  # noqa: PTH110 - plain
        time.sleep(0.005)
    return "waited"


@skill
def misbehave(how: str) -> object:  # noqa: C901 - a case a misdeed
    """Do what should not be done."""
    match how:
        case "fail":
            raise SkillFailedError("the door is locked", code="locked", retryable=True)
        case "crash":
            raise ValueError("password=hunter2")
        case "exit":
            raise SystemExit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "flood":
            return "x" * 50_000_000
        case "odd":
            return object()
        case "deep":
            value = []
            for _ in range(100_000):
                value = [value]
            return value
        case "print":
            print("{}", flush=True)  # noqa: T201 - the point
            os.write(1, b"{}\n")
            return "printed"
        case "threads":
            for _ in range(50):
                threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
            return "started"
    return os.getpid()


@skill
def crash() -> None:
    """Crash, and take your time."""
    raise ValueError("password=hunter2")


@hookimpl
def register_skills(register):
    for one in (
        odd_echo,
        order,
        odd_async,
        in_steps,
        use_secret,
        call_out,
        take_for_ever,
        wait_for,
        misbehave,
        crash,
    ):
        register(one)
