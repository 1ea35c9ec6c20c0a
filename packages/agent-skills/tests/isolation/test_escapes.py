"""Twelve ways out, tried for real at each level that claims to stop them: none succeeds."""

import contextlib
import os
import socket
import threading

import anyio
import pytest

from agent_skills.errors import IsolationError, SkillTimeoutError, WorkerDiedError
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.sandbox import MEBIBYTE, Sandbox

SECRET = "AGENT_TEST_SECRET"


@pytest.fixture
def bait(tmp_path, monkeypatch):
    """What an escape would find: a file, a listener on TCP, two unix sockets, a variable, an open descriptor."""
    canary = tmp_path / "canary"
    canary.write_text("found")
    (tmp_path / "canary.link").symlink_to(canary)
    open_to_all(tmp_path)
    monkeypatch.setenv(SECRET, "hunter2")
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(canary.open())
        os.set_inheritable(opened.fileno(), True)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix, datagrams, abstract = (
            stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        )
        unix.bind(str(tmp_path / "socket"))
        datagrams.bind(str(tmp_path / "socket.dgram"))
        abstract.bind(f"\0{tmp_path}")
        for listener in (tcp, unix, abstract):
            listener.listen()
            threading.Thread(target=_welcome, args=(listener,), daemon=True).start()
        yield {
            "canary": str(canary),
            "folder": str(tmp_path),
            "port": tcp.getsockname()[1],
            "path": str(tmp_path / "socket"),
            "abstract": str(tmp_path),
            "pid": os.getpid(),
            "name": SECRET,
            "most": 80,
        }
        for listener in (tcp, unix, abstract):
            listener.shutdown(socket.SHUT_RDWR)


def open_to_all(folder):
    """Nothing but the sandbox is to stand in the way."""
    for place in (folder, *folder.parents):
        if "pytest" not in str(place):
            return
        place.chmod(0o755)


def _welcome(listener):
    try:
        while True:
            reached, _ = listener.accept()
            reached.send(b"!")
            reached.close()
    except OSError:
        return


ATTEMPTS = {
    "home": ("canary",),
    "write_outside": ("folder",),
    "network": ("port",),
    "unix_socket": ("path", "abstract"),
    "trace": ("pid",),
    "fork_bomb": ("most",),
    "memory": (),
    "inherited_descriptor": (),
    "environment": ("name",),
    "proc": ("pid",),
    "nested_namespaces": (),
    "thread_bomb": ("most",),
}


async def attempt(worker, name, bait):
    """What an attempt got hold of."""
    arguments = {field: bait[field] for field in ATTEMPTS[name]}
    answer = await worker.ask({"function": f"attempts:{name}", "arguments": arguments}, timeout_s=30)
    assert "ok" in answer, answer  # the attempt itself ran
    return answer["ok"]


ROOMS = {
    "alone": Sandbox(processes=64),
    "with_programs": Sandbox(processes=64, programs=True),
    "with_hosts": Sandbox(processes=64, programs=True, egress=Egress(hosts=("*",))),
}


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", ATTEMPTS)
async def test_no_attempt_gets_out_of_a_sandbox(start, mechanism, bait, name, room):
    if room == "with_hosts" and mechanism == "landlock":
        pytest.skip("landlock is given no hosts")
    async with start(ROOMS[room]) as worker:
        with contextlib.suppress(WorkerDiedError):  # it went too far, and was ended for it
            assert await attempt(worker, name, bait) == ""


async def test_an_endless_loop_is_ended(start):
    async with start() as worker:
        with pytest.raises(SkillTimeoutError):
            await worker.ask({"function": "attempts:endless_loop", "arguments": {}}, timeout_s=0.2)
        assert not worker.is_alive


async def test_the_private_folder_is_small(start, mechanism):
    if mechanism == "landlock":
        pytest.skip("landlock bounds the size of each file, not of all together")
    async with start(Sandbox(temporary_bytes=32 * MEBIBYTE)) as worker:
        answer = await worker.ask(
            {"function": "attempts:fill_disk", "arguments": {"most": 32 * MEBIBYTE}}, timeout_s=30
        )
        assert answer["ok"] == ""


async def test_what_is_outside_cannot_even_be_guessed(start, mechanism, bait):
    if mechanism == "landlock":
        pytest.skip("landlock hides what a file holds, and not that it is there")
    async with start() as worker:
        answer = await worker.ask(
            {"function": "attempts:metadata", "arguments": {"canary": bait["canary"]}}, timeout_s=30
        )
        assert answer["ok"] == ""


async def test_what_is_granted_can_be_used(start, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text").write_text("granted")
    out = tmp_path / "out"
    out.mkdir()
    open_to_all(tmp_path)
    if os.geteuid() == 0:
        os.chown(out, 65534, 65534)
    sandbox = Sandbox(read=(str(tmp_path / "in"),), write=(str(out),), programs=True)
    async with start(sandbox) as worker:
        code = f"open({str(out / 'copy')!r}, 'w').write(open({str(tmp_path / 'in' / 'text')!r}).read())"
        arguments = {"args": ["/usr/bin/python3", "-c", code]}
        question = {"function": "subprocess:check_call", "arguments": arguments}
        answer = await worker.ask(question, timeout_s=30)
        for _ in range(
            100
        ):  # processes are counted a user: those of the fork bomb before may not be reaped yet
            if answer.get("error", {}).get("type") != "BlockingIOError":
                break
            await anyio.sleep(0.1)
            answer = await worker.ask(question, timeout_s=30)
        assert answer == {"ok": 0}
    assert (out / "copy").read_text() == "granted"


async def test_no_sandbox_writes_to_a_folder_of_root(start, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("for root alone")
    with pytest.raises(IsolationError, match="belongs to root"):
        async with start(Sandbox(write=(str(tmp_path),))):
            pass


@pytest.mark.parametrize("name", ["inherited_descriptor", "environment"])
async def test_a_plain_worker_has_no_secret_and_no_descriptor_of_the_host(
    start_plain, bait, name, monkeypatch
):
    async with start_plain() as worker:
        if name == "environment":  # the host's own environment is open to all that run as its user
            answer = await worker.ask({"function": "os:getenv", "arguments": {"key": SECRET}}, timeout_s=10)
            assert answer == {"ok": None}
        else:
            assert await attempt(worker, name, bait) == ""
