"""Servers that are processes run in a sandbox: what they reach in there, and what happens where there is none."""

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

import anyio
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillError, SkillRegistry, SkillRunner
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.levels import LevelReport, Levels, probe
from agent_skills.isolation.sandbox import Interpreter
from agent_skills.mcp.client.mounting import mounted
from agent_skills.mcp.client.pins import Pins
from agent_skills.mcp.client.sandboxing import confinement, refusal
from agent_skills.mcp.client.settings import McpServerSettings
from agent_skills.needs import Level

TRYING = Path(__file__).parent.parent / "trying_server.py"
CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
SYSTEM = Interpreter(executable="/usr/bin/python3", needs=())
NO_SANDBOX = Levels(
    reports=(LevelReport(level=Level.SANDBOX, mechanism="bubblewrap", available=False, detail="no bwrap"),)
)


@pytest.fixture(scope="module")
def found():
    return anyio.run(probe)


@pytest.fixture(params=["bubblewrap", "landlock"])
def levels(request, found, monkeypatch):
    """Each way to a sandbox that is there, alone. Under landlock with a Python that whoever root becomes may read."""
    if request.param == "landlock":
        monkeypatch.setattr(Interpreter, "own", classmethod(lambda _cls: SYSTEM))
        found = anyio.run(probe, SYSTEM)
    of_it = [one for one in found.reports if one.mechanism == request.param]
    if not all(one.available for one in of_it):
        pytest.skip(f"no sandbox by {request.param} here: {of_it[0].detail}")
    return Levels(reports=tuple(of_it))


@pytest.fixture
def python(levels):
    """The Python that serves."""
    return sys.executable if levels.reports[0].mechanism == "bubblewrap" else SYSTEM.executable


@pytest.fixture
def own(tmp_path):
    """A folder of the server's own."""
    folder = tmp_path / "own"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 1000, 1000)
    for place in (tmp_path, *tmp_path.parents):
        if "pytest" in str(place):
            place.chmod(0o755)
    return folder


def trying(python=sys.executable, **options):
    given = {"command": (python, "-I", str(TRYING)), "read": (str(TRYING),), **options}
    return McpServerSettings(name="trying", **given)


class Tried:
    """A server that is mounted, and what comes of attempts in it."""

    def __init__(self, mount, registry):
        self.mount = mount
        self._runner = SkillRunner(registry)

    async def __call__(self, expression):
        call = ToolCall(tool_call_id="1", name="trying_attempt", arguments={"expression": expression})
        result = await self._runner.run(call, CONTEXT)
        assert not result.error, result
        return result.content


@contextlib.asynccontextmanager
async def mount(settings, levels, tmp_path):
    registry = SkillRegistry()
    with anyio.fail_after(120):
        async with mounted([settings], registry, Pins(tmp_path / "pins.json"), levels=levels) as mounts:
            yield Tried(mounts[settings.name], registry)


async def test_a_server_sees_its_program_its_folder_and_what_is_named(
    levels, python, own, tmp_path, monkeypatch
):
    monkeypatch.setenv("AGENT_TOKEN", "hunter2")
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "named").write_text("seen")
    named = (str(TRYING), str(tmp_path / "named"))
    settings = trying(python, folder=own, read=named, environment={"GIVEN": "given"})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with mount(settings, levels, tmp_path) as attempt:
            assert not attempt.mount.problem
            assert await attempt(f"Path({str(tmp_path / 'named')!r}).read_text()") == "seen"
            assert await attempt("os.getcwd() == os.environ['HOME']") == "True"
            assert await attempt("os.environ['GIVEN']") == "given"
            assert await attempt("Path('mine').write_text('kept')") == "4"
            assert "Error" in await attempt(f"Path({str(tmp_path / 'secret')!r}).read_text()")
            assert "Error" in await attempt(f"Path({str(tmp_path / 'new')!r}).write_text('x')")
            assert "Error" in await attempt(f"connected('127.0.0.1', {listener.getsockname()[1]})")
            assert await attempt("os.environ.get('AGENT_TOKEN')") == "None"
            assert await attempt("os.getuid() != 0") == "True"
            assert await attempt("subprocess.check_output(['/bin/echo', 'hi'])") == "b'hi\\n'"
    assert (own / "mine").read_text() == "kept"


async def test_a_server_reaches_the_hosts_that_are_named_and_no_other(levels, python, own, tmp_path):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.9", 0) as server:
        port = server.sockets[0].getsockname()[1]
        # Loopback is opened for the test alone.
        egress = Egress(hosts=("127.0.0.9",), networks=("127.0.0.0/8",), ports=(port,))
        async with mount(trying(python, folder=own, egress=egress), levels, tmp_path) as attempt:
            if levels.reports[0].mechanism == "landlock":
                assert "landlock cannot hold a sandbox to some hosts" in attempt.mount.problem
                return
            assert await attempt(f"request.urlopen('http://127.0.0.9:{port}/').read()") == "b'seen'"
            assert "403" in await attempt(f"request.urlopen('http://127.0.0.8:{port}/').read()")
            assert "Error" in await attempt(f"connected('127.0.0.9', {port})")


async def test_a_server_that_ends_leaves_nothing_and_is_started_again(levels, python, own, tmp_path):
    async with mount(trying(python, folder=own), levels, tmp_path) as attempt:
        # What it starts outlives it nowhere: bubblewrap takes its namespace along, landlock its group.
        marker = f"{900 + os.getpid() / 10**7:.7f}"
        first = await attempt(f"subprocess.Popen(['/bin/sleep', {marker!r}]) and os.getpid()")
        assert first
        while not running(marker):
            await anyio.sleep(0.01)
        call = ToolCall(tool_call_id="1", name="trying_attempt", arguments={"expression": "os._exit(3)"})
        assert (await attempt._runner.run(call, CONTEXT)).error == "unavailable"
        while running(marker):
            await anyio.sleep(0.01)
        while attempt.mount.problem or await not_there(attempt):
            await anyio.sleep(0.05)
        assert await attempt("1 + 1") == "2"


async def not_there(attempt):
    call = ToolCall(tool_call_id="1", name="trying_attempt", arguments={"expression": "1"})
    return (await attempt._runner.run(call, CONTEXT)).error == "unavailable"


def running(marker):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


async def test_memory_is_bounded(levels, python, own, tmp_path):
    settings = trying(python, folder=own, memory_bytes=256 << 20)
    async with mount(settings, levels, tmp_path) as attempt:
        assert "MemoryError" in await attempt("len(bytearray(512 << 20))")
        assert await attempt("len(bytearray(64 << 20))") == str(64 << 20)


@pytest.mark.parametrize("levels_here", [None, NO_SANDBOX])
async def test_without_a_sandbox_a_server_is_not_mounted_and_says_why(levels_here, tmp_path):
    async with mount(trying(), levels_here, tmp_path) as attempt:
        assert "'trying' is not mounted: it runs in a sandbox, and there is none" in attempt.mount.problem
        assert 'sandbox = "none" runs it with all your rights' in attempt.mount.problem


async def test_who_says_none_by_name_gets_none(tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    async with mount(trying(sandbox="none", folder=tmp_path), None, tmp_path) as attempt:
        assert await attempt("Path('secret').read_text()") == "hunter2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ("/nowhere/at/all",)}, "'/nowhere/at/all' cannot be started"),
        ({"folder": Path("/nowhere/at/all")}, "is no folder"),
        ({"command": ("nothing-of-the-kind",)}, "there is no such program"),
        ({"read": ()}, "its last words"),  # it cannot read its own script
    ],
)
async def test_what_cannot_start_is_said(found, options, words, tmp_path):
    if not found.has(Level.SANDBOX):
        pytest.skip(f"no sandbox here: {found.missing(Level.SANDBOX)}")
    async with mount(trying(**options), found, tmp_path) as attempt:
        assert words in attempt.mount.problem


async def test_a_folder_of_root_is_refused(found, tmp_path):
    if os.geteuid() != 0 or not found.has(Level.SANDBOX):
        pytest.skip("for root alone, with a sandbox")
    async with mount(trying(folder=tmp_path), found, tmp_path) as attempt:
        assert "belongs to root" in attempt.mount.problem


async def test_javascript_runs_in_there(levels, own, tmp_path):
    if not os.access("/usr/bin/node", os.X_OK):
        pytest.skip("there is no /usr/bin/node")
    code = (
        "const fs = require('fs');"
        "require('readline').createInterface({input: process.stdin}).on('line', line => {"
        " const asked = JSON.parse(line); if (asked.id === undefined) return;"
        " const say = (key, value) => console.log(JSON.stringify({jsonrpc: '2.0', id: asked.id, [key]: value}));"
        " if (asked.method === 'initialize') say('result', {protocolVersion: '2025-11-25',"
        "  capabilities: {tools: {}}, serverInfo: {name: 'js', version: '1'}});"
        " else if (asked.method === 'tools/list') say('result', {tools: [{name: 'attempt',"
        "  description: 'Read a file', inputSchema: {type: 'object'}}]});"
        " else if (asked.method === 'tools/call') { let text;"
        "  try { text = fs.readFileSync(asked.params.arguments.expression, 'utf8') } catch (e) { text = e.code }"
        "  say('result', {content: [{type: 'text', text}]}) }"
        " else say('error', {code: -32601, message: 'unknown'}) })"
    )
    (tmp_path / "secret").write_text("hunter2")
    (own / "mine").write_text("kept")
    (own / "mine").chmod(0o644)
    settings = McpServerSettings(name="trying", command=("/usr/bin/node", "-e", code), folder=own)
    async with mount(settings, levels, tmp_path) as attempt:
        assert not attempt.mount.problem
        assert await attempt("mine") == "kept"
        assert await attempt(str(tmp_path / "secret")) in {"EACCES", "ENOENT"}


def test_where_a_server_runs_is_told_in_a_line(found):
    assert confinement(trying(sandbox="none"), None).startswith("without a sandbox")
    assert confinement(trying(), NO_SANDBOX).startswith("nowhere: it runs in a sandbox")
    away = McpServerSettings(name="away", url="https://example.org/mcp")
    assert confinement(away, None) == "elsewhere, at https://example.org/mcp"
    assert not refusal(away, None)
    if found.has(Level.SANDBOX):
        told = confinement(trying(folder=Path("/srv/own")), found)
        assert told == f"in a sandbox: no network; reads {TRYING}; writes to /srv/own"


def test_paths_are_absolute():
    with pytest.raises(SkillError, match="'notes' must be an absolute path"):
        trying(read=("notes",))
