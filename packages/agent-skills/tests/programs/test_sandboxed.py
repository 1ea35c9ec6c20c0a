"""Programs in real sandboxes: the shell, full Python, and what they cannot do."""

import asyncio
import os
import re
import time

import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillFailedError, SkillRegistry, SkillRunner
from agent_skills.builtin.python import PythonPlugin, SnippetsPlugin
from agent_skills.builtin.shell import ShellPlugin
from agent_skills.errors import IsolationError, PluginRefusedError
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.levels import LevelReport, Levels, probe
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.needs import Level
from agent_skills.programs.inside import run as run_inside
from agent_skills.programs.sandboxed import Programs
from agent_skills.workspace import WorkspaceSettings

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")


@pytest.fixture
async def programs():
    levels = await probe()
    if not levels.has(Level.SANDBOX):
        pytest.skip(f"no sandbox here: {levels.missing(Level.SANDBOX)}")
    return Programs(levels)


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "a.txt").write_text("one\ntwo\n")
    if os.geteuid() == 0:
        for path in (folder, folder / "a.txt"):
            os.chown(path, 1000, 1000)
    tmp_path.chmod(0o755)
    return folder


async def call(plugin, name, **arguments):
    registry = SkillRegistry()
    registry.register(name, plugin)
    made = ToolCall(tool_call_id="1", name=name, arguments=arguments)
    return await SkillRunner(registry).run(made, CONTEXT)


async def test_the_shell_works_in_the_workspace(programs, workspace):
    plugin = ShellPlugin(programs, WorkspaceSettings(folder=workspace))
    result = await call(plugin, "shell", command="wc -l < a.txt; echo three >> a.txt; exit 3")
    assert (result.content, result.error) == ("2\n\n[exit code 3]", "")
    assert (workspace / "a.txt").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    "command",
    [
        "cat /etc/shadow",
        "ls /root /home",
        "echo x > /usr/x",
        "exec 3<>/dev/tcp/127.0.0.1/22",
        "touch ../outside",
        "mount -t tmpfs none /mnt",
    ],
)
async def test_the_shell_gets_no_further(programs, workspace, command):
    (workspace.parent / "secret.txt").write_text("secret")
    plugin = ShellPlugin(programs, WorkspaceSettings(folder=workspace))
    result = await call(plugin, "shell", command=f"{command}; cat ../secret.txt; env")
    assert "[exit code" in result.content or "No such file" in result.content
    assert not re.search(r"root:\S", result.content)
    assert "PYTEST" not in result.content
    assert sorted(one.name for one in workspace.parent.iterdir()) == ["secret.txt", "workspace"]


async def test_python_has_its_library_and_no_way_out(programs):
    code = "import json, statistics\nprint(json.dumps(statistics.mean([1, 2, 6])))"
    assert (await call(PythonPlugin(programs), "python", code=code)).content == "3\n"
    result = await call(
        PythonPlugin(programs), "python", code="import socket\nsocket.create_connection(('127.0.0.1', 22))"
    )
    assert "Error" in result.content
    assert "[exit code 1]" in result.content


async def test_a_program_reaches_the_hosts_that_are_given_and_no_other():
    levels = await probe()
    if not any(one.mechanism == "bubblewrap" and one.available for one in levels.reports):
        pytest.skip("only bubblewrap holds a program to some hosts")

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.9", 0) as server:
        port = server.sockets[0].getsockname()[1]
        # Loopback is opened for the test alone.
        egress = Egress(hosts=("127.0.0.9",), networks=("127.0.0.0/8",), ports=(port,))
        code = "import urllib.request\nprint(urllib.request.urlopen('http://{}:{}/').read())"
        plugin = PythonPlugin(Programs(levels, egress=egress))
        assert (await call(plugin, "python", code=code.format("127.0.0.9", port))).content == "b'seen'\n"
        assert "HTTP Error 403" in (await call(plugin, "python", code=code.format("127.0.0.8", port))).content


@pytest.mark.parametrize(
    ("hosts", "says", "labels"),
    [
        ((), "There is no network.", set()),
        (
            ("api.example.org", "*.example.net"),
            "by the proxy that the environment names: api.example.org, *.example.net.",
            {Label.SENDS_OUT, Label.RETURNS_UNTRUSTED},
        ),
        (("*",), "names: public hosts.", {Label.SENDS_OUT, Label.RETURNS_UNTRUSTED}),
    ],
)
def test_a_tool_that_runs_programs_says_what_they_reach(hosts, says, labels, workspace):
    here = LevelReport(level=Level.SANDBOX, mechanism="test", available=True)
    programs = Programs(Levels(reports=(here,)), egress=Egress(hosts=hosts))
    registry = SkillRegistry()
    registry.register("python", PythonPlugin(programs))
    registry.register("shell", ShellPlugin(programs, WorkspaceSettings(folder=workspace)))
    python, shell = (one.spec for one in registry.skills())
    assert python.description.endswith(says)
    assert shell.description.endswith(says)
    assert ("no network" in python.description) is not bool(hosts)
    assert (set(python.labels), python.idempotent) == (labels, not hosts)
    assert set(shell.labels) == {Label.READS_PRIVATE, Label.DESTROYS, *labels}


async def test_a_program_is_stopped_with_all_that_it_started(programs):
    began = time.monotonic()
    outcome = await programs.run(["/bin/bash", "-c", "echo begun; sleep 300 & sleep 300"], timeout_s=3)
    assert outcome.timed_out
    assert outcome.output == "begun\n"
    assert "time is up" in outcome.told()
    assert time.monotonic() - began < 100
    left = await programs.run(["/bin/bash", "-c", "sleep 300 > /dev/null & echo done"], timeout_s=60)
    assert (left.output, left.timed_out) == ("done\n", False)


async def test_a_flood_of_output_is_cut_in_the_middle(programs):
    outcome = await programs.run(["/bin/bash", "-c", "seq 1 200000"], timeout_s=30)
    assert outcome.output.startswith("1\n2\n")
    assert outcome.output.endswith("199999\n200000\n")
    assert f"{outcome.cut:,} bytes left out" in outcome.output
    assert len(outcome.output) < 70_000


async def test_what_cannot_start_is_said(programs):
    with pytest.raises(SkillFailedError, match="cannot be started"):
        await programs.run(["/nowhere/at/all"])


def test_without_a_sandbox_nothing_is_there():
    nothing = Levels(
        reports=(
            LevelReport(level=Level.SANDBOX, mechanism="bubblewrap", available=False, detail="no bwrap"),
        )
    )
    with pytest.raises(IsolationError, match="no bwrap"):
        Programs(nothing)


async def test_a_workspace_of_root_is_refused(programs, workspace, tmp_path):
    registry = SkillRegistry()
    with pytest.raises(PluginRefusedError, match="is no folder"):
        registry.register("shell", ShellPlugin(programs, WorkspaceSettings(folder=tmp_path / "none")))
    if os.geteuid() == 0:
        os.chown(workspace, 0, 0)
        with pytest.raises(PluginRefusedError, match="belongs to root"):
            registry.register("shell", ShellPlugin(programs, WorkspaceSettings(folder=workspace)))


async def test_snippets_run_in_monty():
    pytest.importorskip("pydantic_monty")
    interpreter = MontyInterpreter()
    plugin = SnippetsPlugin(interpreter)
    try:
        assert (await call(plugin, "python", code="print('a')\n1 + 1")).content == "a\n2"
        assert "said nothing" in (await call(plugin, "python", code="x = 1")).content
        broken = await call(plugin, "python", code="1 / 0")
        assert (broken.error, "ZeroDivisionError" in broken.content) == ("snippet_failed", True)
        assert (await call(plugin, "python", code="open('/etc/passwd').read()")).error == "snippet_failed"
    finally:
        await interpreter.aclose()


def test_inside_alone(tmp_path):
    """The part that runs inside, called here: input, output, exit code."""
    outcome = run_inside(["/bin/cat"], "x" * 200_000, str(tmp_path), 10.0, 1_000)
    assert (outcome["code"], outcome["timed_out"], outcome["cut"]) == (0, False, 199_000)
    assert run_inside(["/bin/sleep", "9"], "", "", 0.2, 100)["timed_out"] is True
    assert run_inside(["/bin/true"], "unread" * 100_000, "", 10.0, 100)["code"] == 0
    assert run_inside(["/none"], "", "", 1.0, 100)["error"] == "No such file or directory"
