"""One worker: its answers, its end, and that nothing of it stays."""

import asyncio
import contextlib
import os
import resource
import sys
import tempfile
import uuid
from pathlib import Path

import anyio
import pytest

from agent_skills.errors import IsolationError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation import process
from agent_skills.isolation.launching import Launch
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Sandbox

ATTEMPTS = Path(__file__).with_name("attempts.py")
KILLS = 20


def running(marker):
    """The processes of this machine that have the marker among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if marker.encode() in arguments:
            found.append(int(folder.name))
    return found


async def gone(marker):
    with anyio.fail_after(60):
        while running(marker):
            await anyio.sleep(0.01)
    return True


@pytest.fixture
def marker():
    """Seconds that `sleep` takes, and that nobody else says."""
    return f"{600 + uuid.uuid4().int % 10**9 / 10**9:.9f}"


async def ask(worker, function, *, timeout_s=20, **arguments):
    return await worker.ask({"function": function, "arguments": arguments}, timeout_s=timeout_s)


async def run(worker, code):
    """Run a line of Python in the worker; it answers how many seconds that took."""
    return await ask(worker, "timeit:timeit", stmt=code, setup="import os, subprocess", number=1)


async def test_a_worker_answers_and_says_what_went_wrong(start_plain):
    async with start_plain() as worker:
        assert await ask(worker, "json:dumps", obj=[1, "\u2028"]) == {"ok": '[1, "\\u2028"]'}
        failed = await ask(worker, "json:loads", s="{")
        assert failed["error"]["type"] == "JSONDecodeError"
        assert "Traceback" in failed["error"]["trace"]
        unreadable = await ask(worker, "threading:Lock")
        assert unreadable["error"]["kind"] == "UnreadableResultError"
        assert await ask(worker, "os:getcwd")


async def test_large_messages_pass_in_both_directions(start_plain):
    text = "x" * 3_000_000
    async with start_plain() as worker:
        assert (await ask(worker, "builtins:str", object=text))["ok"] == text


@pytest.mark.parametrize(("code", "reason"), [("os._exit(3)", "exit status 3"), ("os.abort()", "SIGABRT")])
async def test_a_worker_that_ends_is_named_with_the_way_it_ended(start_plain, code, reason):
    async with start_plain() as worker:
        with pytest.raises(WorkerDiedError, match=reason):
            await run(worker, code)
        with pytest.raises(WorkerDiedError):
            await ask(worker, "os:getpid")


async def test_one_that_says_too_much_is_ended(start_plain, monkeypatch):
    monkeypatch.setattr(process, "MAX_ANSWER_BYTES", 100_000)
    async with start_plain() as worker:
        with pytest.raises(WorkerDiedError, match="more than 100,000 bytes"):
            await ask(worker, "secrets:token_hex", nbytes=400_000)


async def test_what_is_printed_is_no_answer(start_plain):
    async with start_plain() as worker:
        code = "print('{\"ok\": 1}'); os.write(1, b'{}'); os.system('echo {}')"
        answer = await run(worker, code)
        assert isinstance(answer["ok"], float)


async def test_a_worker_that_speaks_without_being_asked_is_ended(start_plain):
    async with start_plain() as worker:
        code = "[os.write(n, b'{\"ok\":1}\\n{\"ok\":2}\\n') for n in range(3, 50) if os.path.exists(f'/proc/self/fd/{n}')]"
        answer = await run(worker, code)
        assert answer == {"ok": 1}  # it lies about its own result, and that is all that it can do
        with anyio.fail_after(60):
            while worker.is_alive:
                await anyio.sleep(0.01)


async def test_a_call_that_is_cancelled_ends_its_worker_and_twice_does_no_harm(start_plain):
    async with start_plain() as worker:
        task = asyncio.ensure_future(ask(worker, "signal:pause"))
        await asyncio.sleep(0.05)
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not worker.is_alive
        await worker.aclose()
        await worker.aclose()


async def test_a_program_that_is_missing_or_no_worker_is_refused():
    for command in (("/nowhere/python",), ("/bin/true",)):
        with pytest.raises(IsolationError, match="a worker for it did not start"):
            await WorkerProcess.start("it", Launch(command=command))


async def test_a_start_that_is_cancelled_leaves_nothing(start):
    for delay_s in (0, 0.001, 0.003, 0.01, 0.02, 0.04):
        with anyio.move_on_after(delay_s):
            async with start():
                pass
    # Every bubblewrap of ours, and what it started, has the worker's program among its arguments.
    mine = [
        one for one in running(str(Path(process.__file__).parent / "inside" / "worker.py")) if is_child(one)
    ]
    with anyio.fail_after(60):
        while any(is_child(one) for one in mine):
            await anyio.sleep(0.01)


def is_child(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
    except OSError:
        return False


@pytest.mark.parametrize("left", range(12))
async def test_a_start_without_descriptors_is_refused_and_leaves_nothing(start, left, monkeypatch):
    folders = []
    make = tempfile.mkdtemp
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **how: folders.append(make(**how)) or folders[-1])
    async with start():  # what is opened once stays
        pass
    before = open_descriptors()
    with few_descriptors(left), contextlib.suppress(IsolationError):
        async with start() as worker:
            assert worker.is_alive
    assert open_descriptors() == before
    assert not any(map(os.path.exists, folders))


def open_descriptors():
    return sorted(int(one.name) for one in Path("/proc/self/fd").iterdir())


@contextlib.contextmanager
def few_descriptors(left):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_descriptors()) + left + 2, hard))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for one in taken[len(taken) - left :]:
            os.close(one)
        del taken[len(taken) - left :]
        yield
    finally:
        for one in taken:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_program_outlives_its_worker(start_plain, marker):
    async with start_plain() as worker:
        for _ in range(3):
            await run(worker, f"subprocess.Popen(['sleep', '{marker}'])")
        with anyio.fail_after(60):  # one that has forked may not be known by its new name yet
            while len(running(marker)) < 3:
                await anyio.sleep(0.01)
    assert await gone(marker)


HOST = """
import sys
import anyio
from agent_skills.isolation import bubblewrap, landlock
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox, plain

async def main(how, attempts, marker):
    system = Interpreter(executable="/usr/bin/python3", needs=())
    room, imports = Sandbox(programs=True, processes=10_000), Imports(modules={"attempts": attempts})
    launch = {
        "plain": plain,
        "landlock": lambda: landlock.launch(room, system, imports),
        "bubblewrap": lambda: bubblewrap.launch(room, Interpreter.own(), imports),
    }[how]()
    worker = await WorkerProcess.start("of a test", launch)
    sleep = {"mode": 1, "file": "/bin/sleep", "args": ["sleep", marker]}
    for _ in range(2):
        await worker.ask({"function": "os:spawnv", "arguments": sleep}, timeout_s=60)
    if how != "plain":
        await worker.ask({"function": "attempts:start_programs", "arguments": {"marker": marker, "count": 1}}, timeout_s=600)
    await anyio.sleep_forever()

anyio.run(main, *sys.argv[1:])
"""


async def test_no_program_outlives_a_host_that_is_killed(mechanism, marker):
    await kill_host(mechanism, marker, programs=4)


async def test_no_program_of_a_plain_worker_outlives_a_host_that_is_killed(marker):
    await kill_host("plain", marker, programs=2)


async def kill_host(how, marker, programs):
    arguments = (sys.executable, "-c", HOST, how, str(ATTEMPTS), marker)
    async with await anyio.open_process(arguments, stdin=None, stdout=None, stderr=None) as host:
        try:
            with anyio.fail_after(60):
                while len(running(marker)) < programs + 1:  # the host has it among its arguments too
                    assert host.returncode is None
                    await anyio.sleep(0.01)
        finally:
            host.kill()
    assert await gone(marker)


async def kill(start, marker, times):
    # Under landlock the limit counts all processes of that user, those included that init has yet to reap.
    sandbox = Sandbox(programs=True, processes=10_000)
    for _ in range(times):
        async with start(sandbox) as worker:
            with pytest.raises(SkillTimeoutError):
                await ask(worker, "attempts:start_programs", marker=marker, count=2, timeout_s=0.15)
            assert not worker.is_alive


async def test_kills_leave_no_orphan(start, marker):
    await kill(start, marker, KILLS)
    assert await gone(marker)


@pytest.mark.slow
async def test_a_thousand_kills_leave_no_orphan(start, marker):
    await kill(start, marker, 1_000)
    assert await gone(marker)
