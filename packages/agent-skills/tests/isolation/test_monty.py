"""Snippets in Monty: what works, and twelve ways out that do not."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from agent_skills.errors import SkillFailedError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation.monty import MontyInterpreter, SnippetLimits

pytest.importorskip("pydantic_monty")


@pytest.fixture
async def interpreter():
    limits = SnippetLimits(run_s=2, timeout_s=60, memory_bytes=16 << 20, output_bytes=10_000)
    one = MontyInterpreter(limits, size=2)
    yield one
    await one.aclose()
    await one.aclose()


async def test_a_snippet_has_a_value_and_an_output(interpreter):
    ran = await interpreter.run(
        "import json\nprint('hi')\njson.loads(text)['a'] + 1", inputs={"text": '{"a": 1}'}
    )
    assert (ran.value, ran.output) == (2, "hi\n")
    assert (await interpreter.run("1")).output == ""  # nothing stays from one to the next
    with pytest.raises(SkillFailedError, match="NameError"):
        await interpreter.run("text")


async def test_a_snippet_calls_what_it_is_given(interpreter):
    async def add(a, b=1):
        return a + b

    ran = await interpreter.run("x = await add(1)\nawait add(x, b=5)", functions={"add": add})
    assert ran.value == 7

    async def fail():
        raise ValueError("not today")

    with pytest.raises(SkillFailedError, match="not today"):
        await interpreter.run("await fail()", functions={"fail": fail})
    assert (
        await interpreter.run(
            "try:\n    await fail()\nexcept ValueError:\n    x = 3\nx", functions={"fail": fail}
        )
    ).value == 3


@pytest.mark.parametrize("code", ["1 +", "1 / 0", "nothing"])
async def test_a_wrong_snippet_comes_back_with_its_line(interpreter, code):
    with pytest.raises(SkillFailedError) as caught:
        await interpreter.run(f"print('before')\n{code}")
    assert caught.value.code == "snippet_failed"
    assert "line 2" in str(caught.value)


ESCAPES = {
    "home": "open('/etc/passwd').read()",
    "write outside": "open('/tmp/agent-test-new', 'w').write('x')",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 22))",
    "unix socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/x')",
    "trace": "import ctypes\nctypes.CDLL(None).ptrace(16, 1)",
    "fork bomb": "import os\nwhile True:\n    os.fork()",
    "memory": "x = []\nwhile True:\n    x.append('a' * 1000000)",
    "endless loop": "while True:\n    pass",
    "inherited descriptor": "import os\nos.read(3, 10)",
    "environment": "import os\nos.environ['PATH']",
    "proc": "open('/proc/1/environ').read()",
    "nested namespaces": "import os\nos.unshare(0x10000000)",
    "classes": "().__class__.__base__.__subclasses__()",
    "depth": "def f():\n    return f()\nf()",
    "program": "import subprocess\nsubprocess.run(['id'])",
}


@pytest.mark.parametrize("name", ESCAPES)
async def test_no_snippet_gets_out(interpreter, name):
    with pytest.raises((SkillFailedError, SkillTimeoutError)):
        await interpreter.run(ESCAPES[name])
    assert (await interpreter.run("40 + 2")).value == 42


async def test_a_flood_of_output_ends_the_snippet(interpreter):
    with pytest.raises(SkillFailedError), contextlib.suppress(SkillTimeoutError):
        await interpreter.run("while True:\n    print('x' * 1000)")


async def _until_one_runs(interpreter):
    while not (interpreter._threads and any(job._process for job in interpreter._threads._under_way)):
        await anyio.sleep(0.01)


async def test_a_snippet_that_is_cancelled_ends_at_once_and_the_next_one_runs():
    one = MontyInterpreter(SnippetLimits(run_s=600, timeout_s=600), size=1)
    running = asyncio.ensure_future(one.run("while True:\n    pass"))
    waiting = asyncio.ensure_future(one.run("1"))
    with anyio.fail_after(60):
        await _until_one_runs(one)
        running.cancel()
        waiting.cancel()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError] * 2
        assert (await one.run("40 + 2")).value == 42  # there is one thread, and it is free
        await one.aclose()


async def test_closing_ends_what_runs():
    one = MontyInterpreter(SnippetLimits(run_s=600, timeout_s=600), size=1)
    running = asyncio.ensure_future(one.run("while True:\n    pass"))
    with anyio.fail_after(60):
        await _until_one_runs(one)
        await one.aclose()
        with pytest.raises(SkillFailedError):
            await running


async def test_closing_ends_what_waits():
    one = MontyInterpreter(SnippetLimits(run_s=600, timeout_s=600), size=1)
    running = asyncio.ensure_future(one.run("while True:\n    pass"))
    with anyio.fail_after(60):
        await _until_one_runs(one)
        waiting = asyncio.ensure_future(one.run("1"))
        await asyncio.sleep(0)
        await one.aclose()
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], SkillFailedError)
        with pytest.raises(WorkerDiedError, match="not needed any more"):
            await waiting


async def test_more_snippets_than_may_run_at_once_are_all_answered(interpreter):
    ran = await asyncio.gather(
        *(interpreter.run("x = n\nx * 2", inputs={"n": number}) for number in range(20))
    )
    assert [one.value for one in ran] == [number * 2 for number in range(20)]
    assert len(_processes()) <= 2


async def test_a_session_that_died_as_it_waited_is_replaced(interpreter):
    assert (await interpreter.run("1")).value == 1
    for _ in range(3):
        for process in _processes():
            os.kill(process, signal.SIGKILL)
            _await_its_end(process)
        assert (await interpreter.run("40 + 2")).value == 42


async def test_the_loop_goes_on_while_a_snippet_computes():
    one = MontyInterpreter(SnippetLimits(run_s=600, timeout_s=600), size=1)
    running = asyncio.ensure_future(one.run("while True:\n    pass"))
    with anyio.fail_after(60):
        await _until_one_runs(one)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
        await one.aclose()
        await asyncio.gather(running, return_exceptions=True)


PROGRAM = """
import asyncio
from agent_skills.isolation.monty import MontyInterpreter

async def one():
    return 1

async def main():
    interpreter = MontyInterpreter()
    print((await interpreter.run("await one()", functions={"one": one})).value)
    await interpreter.aclose()

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_program_that_ends_right_behind_its_interpreter_is_not_aborted():
    for _ in range(40):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def _processes():
    """The processes of Monty that this one started."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the thread ended
            children = (thread / "children").read_text().split()
            found |= {int(child) for child in children if _is_monty(child)}
    return found


def _is_monty(process):
    try:
        return Path(f"/proc/{process}/comm").read_text().strip() == "monty"
    except FileNotFoundError:
        return False


def _await_its_end(process):
    with contextlib.suppress(ChildProcessError):  # it was awaited already
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
