"""Temporary folders of workers: whose they are, and that they go, also where their host is killed."""

import contextlib
import gc
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from agent_skills.errors import IsolationError
from agent_skills.isolation.temporary import TemporaryFolder

HOST = """
import sys
from pathlib import Path
from agent_skills.isolation.temporary import TemporaryFolder
folder = TemporaryFolder()
Path(folder.path, "sub").mkdir()
Path(folder.path, "sub", "file").write_text("text")
print(folder.path, flush=True)
sys.stdin.read()
"""
HOST_OF_A_WORKER = """
import anyio
from agent_skills.isolation import landlock
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox
async def main():
    launch = landlock.launch(Sandbox(), Interpreter(executable="/usr/bin/python3", needs=()), Imports())
    worker = await WorkerProcess.start("of a test", launch)
    file = launch.temporary.path + "/file"
    await worker.ask({"function": "os:mkdir", "arguments": {"path": file}}, timeout_s=60)
    pid = await worker.ask({"function": "os:getpid", "arguments": {}}, timeout_s=60)
    print(launch.temporary.path, pid["ok"], flush=True)
    await anyio.sleep_forever()
anyio.run(main)
"""


@pytest.fixture
def place(monkeypatch):
    """A place for temporary folders that other users may pass through, as `/tmp`."""
    folder = tempfile.mkdtemp()
    Path(folder).chmod(0o711)
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield Path(folder)
    shutil.rmtree(folder)


@contextlib.contextmanager
def host(program):
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def is_running(pid):
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes() != b""
        )  # empty: it waits for init to take note of its end
    except FileNotFoundError:
        return False


def test_a_folder_is_of_its_user_alone_and_goes_with_what_is_in_it(place):
    folder = TemporaryFolder()
    assert stat.S_IMODE(Path(folder.path).stat().st_mode) == 0o700
    Path(folder.path, "file").write_text("text")
    folder.remove()
    folder.remove()
    assert not Path(folder.path).exists()
    path = TemporaryFolder().path
    gc.collect()
    assert not Path(path).exists()


@pytest.mark.usefixtures("place")
def test_a_folder_stays_as_long_as_its_host_lives_and_goes_once_that_was_killed():
    with host(HOST) as (process, (path,)):
        mine = TemporaryFolder()
        assert Path(path, "sub", "file").exists()
        process.kill()
        process.wait()
        assert Path(path).exists()
        other = TemporaryFolder()
        assert not Path(path).exists()
        assert Path(mine.path).exists()
        assert Path(other.path).exists()


@pytest.mark.usefixtures("place")
def test_a_worker_and_its_folder_go_with_a_host_that_is_killed(mechanism):
    if mechanism != "landlock":
        pytest.skip("bubblewrap makes its folders in memory, for itself alone")
    with host(HOST_OF_A_WORKER) as (process, (path, pid)):
        assert Path(path, "file").exists()
        process.kill()
        process.wait()
        deadline = time.monotonic() + 60
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not is_running(pid)
    TemporaryFolder()
    assert not Path(path).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_what_belongs_to_somebody_else_is_not_used(place):
    home = place / f"agent-skills-{os.geteuid()}"
    home.mkdir()
    os.chown(home, 65534, 65534)
    with pytest.raises(IsolationError, match="is no folder of this user"):
        TemporaryFolder()


def test_a_link_is_followed_nowhere(place):
    home = place / f"agent-skills-{os.geteuid()}"
    elsewhere = place / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    home.symlink_to(elsewhere)
    with pytest.raises(IsolationError, match="is no folder of this user"):
        TemporaryFolder()
    home.unlink()
    home.mkdir(mode=0o777)
    (home / "link").symlink_to(elsewhere)
    TemporaryFolder()
    assert (elsewhere / "folder").exists()
    assert stat.S_IMODE(home.stat().st_mode) & 0o022 == 0
