"""The supervised server, with a small HTTP server in vLLM's place: the real one is tried under `-m engines`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_core.chat import Completion, ModelProfile, ModelRequest
from agent_core.messages import user
from agent_core.tools import ToolSpec
from agent_gateway.engines import leash
from agent_gateway.engines.vllm_server import VllmServerModel
from agent_gateway.errors import ProviderUnavailableError, WeightsError

PROFILE = ModelProfile(name="vllm:tiny", context_tokens=100, reply_tokens=10)
STAND_IN = textwrap.dedent('''
    """Speaks as much of vLLM's server as is needed here; writes who it is and what it started."""
    import http.server, json, os, subprocess, sys, threading, time
    port, folder = int(sys.argv[1]), sys.argv[2]
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(f"{folder}/pids", "a") as file:
        file.write(f"{os.getpid()} {child.pid}\\n")
    print("loading the weights", flush=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            owned = self.headers["Authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
            self.say(200 if owned else 401, {"data": [{"id": "tiny", "owned_by": "vllm", "max_model_len": 99}]})

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "die" in asked["messages"][0]["content"]:
                os._exit(3)
            call = '{"name": "clock", "arguments": {}}'
            said = call if "response_format" in asked else "tools" if "tools" in asked else "hi"
            message = {"role": "assistant", "content": said}
            self.say(200, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

        def say(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_): ...

    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
''')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    (tmp_path / "server.py").write_text(STAND_IN)
    return tmp_path


def model_of(folder: Path, **fields: object) -> VllmServerModel:
    def command(port: int) -> Sequence[str]:
        return [sys.executable, str(folder / "server.py"), str(port), str(folder)]

    given = {"python": Path(sys.executable), "profile": PROFILE, "command": command, **fields}
    return VllmServerModel(folder, **given)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(folder: Path, **fields: object) -> AsyncIterator[VllmServerModel]:
    async with model_of(folder, **fields) as model:
        yield model


async def ask(model: VllmServerModel, text: str = "hello", **fields: Any) -> Completion:
    request = ModelRequest(messages=(user(text),), **fields)
    *_, last = [item async for item in model.stream(request)]
    assert isinstance(last, Completion)
    return last


def started(folder: Path) -> list[list[int]]:
    """Each server with its child, in the order of starting."""
    lines = (folder / "pids").read_text().splitlines()
    return [[int(pid) for pid in line.split()] for line in lines]


async def gone(pids: Sequence[int]) -> None:
    with anyio.fail_after(20):
        while any(_lives(pid) for pid in pids):
            await anyio.sleep(0.05)


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_it_starts_answers_and_ends_with_its_children(folder: Path) -> None:
    said: list[str] = []
    async with serving(folder, on_progress=said.append) as model:
        assert (await ask(model)).message.text == "hi"
        assert model.profile.context_tokens == 99, "as the server says"
        assert model.profile.name == "vllm:tiny"
        log = model.log
        assert log is not None
        assert "loading the weights" in log.read_text()
        (both,) = started(folder)
        assert all(_lives(pid) for pid in both)
    await gone(both)
    assert not log.exists()
    assert said[0].startswith("starting vLLM on ")
    assert said[-1].startswith("vLLM is ready after ")


async def test_a_required_call_is_held_to_a_schema_and_other_tools_are_left_out(folder: Path) -> None:
    spec = ToolSpec(name="clock", description="The time", parameters={"type": "object", "properties": {}})
    async with serving(folder) as model:
        request = ModelRequest(messages=(user("call"),), tools=(spec,), tool_choice="required")
        *_, last = [item async for item in model.stream(request)]
        assert isinstance(last, Completion)
        assert [call.name for call in last.message.tool_calls] == ["clock"]
        assert (await ask(model, "call", tools=(spec,))).message.text == "hi"
    async with serving(folder, arguments=["--tool-call-parser", "hermes"]) as model:
        assert (await ask(model, "call", tools=(spec,))).message.text == "tools"


async def test_a_server_that_crashes_is_started_again(folder: Path) -> None:
    log = folder / "kept.log"
    async with serving(folder, log=log) as model:
        with pytest.raises(ProviderUnavailableError):
            await ask(model, "die")
        assert (await ask(model)).message.text == "hi"
        first, second = started(folder)
        await gone(first)
    await gone(second)
    assert "it ended with 3: started again in 1 s" in log.read_text(), "the log that was asked for stays"


async def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    (folder / "server.py").write_text("import sys; print('no such device'); sys.exit(0)")
    async with serving(folder) as model:
        with pytest.raises(ProviderUnavailableError, match="it ended: no such device"):
            await ask(model)


async def test_a_server_that_never_answers_is_ended(folder: Path) -> None:
    (folder / "server.py").write_text(
        f"import os, time; open({str(folder / 'pids')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    async with serving(folder, start_within_s=2.0) as model:
        with pytest.raises(ProviderUnavailableError, match="did not answer within 2 s"):
            await ask(model)
        (pids,) = started(folder)
        await gone(pids)


async def test_wrong_weights_and_a_missing_interpreter_are_named_before_anything_is_started(
    folder: Path,
) -> None:
    with pytest.raises(WeightsError, match=r"there is no .*/none to run it"):
        await ask(model_of(folder, python=folder / "none"))
    (folder / "m.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match="damaged or cut off"):
        await ask(model_of(folder))
    assert not (folder / "pids").exists()


OWNER = """
import sys, anyio
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_vllm_server import ask, model_of

async def main():
    model = model_of(Path({folder!r}))
    await ask(model)
    print("ready", flush=True)
    await anyio.sleep(600)

anyio.run(main)
"""


async def test_it_ends_with_us_where_we_are_killed(folder: Path) -> None:
    program = OWNER.format(tests=str(Path(__file__).parent), folder=str(folder))
    async with await anyio.open_process([sys.executable, "-c", program], stdin=None, stderr=None) as owner:
        assert owner.stdout is not None
        assert (await owner.stdout.receive()).startswith(b"ready")
        (both,) = started(folder)
        owner.send_signal(signal.SIGKILL)
        await owner.wait()
    await gone(both)


@pytest.mark.parametrize(("status", "times"), [(0, 1), (3, leash.MOST_CRASHES)])
def test_how_often_the_leash_tries(folder: Path, status: int, times: int) -> None:
    log, count = folder / "log", folder / "count"
    program = f"open({str(count)!r}, 'a').write('x'); raise SystemExit({status})"
    command = [
        sys.executable,
        leash.__file__,
        "--log",
        str(log),
        "--parent",
        str(os.getpid()),
        "--pause",
        "0.01",
    ]
    done = subprocess.run([*command, "--", sys.executable, "-c", program], check=False)
    assert done.returncode == status
    assert count.read_text() == "x" * times


def test_a_leash_whose_owner_is_gone_starts_nothing(folder: Path) -> None:
    program = f"open({str(folder / 'count')!r}, 'a').write('x')"
    command = [sys.executable, leash.__file__, "--log", str(folder / "log"), "--parent", "1"]
    done = subprocess.run([*command, "--", sys.executable, "-c", program], check=False)
    assert done.returncode == 1
    assert not (folder / "count").exists()
