"""One process drives a run at a time, and a dead process holds nothing."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent_api.access.keys import KeyStore
from agent_api.errors import RunBusyError, SettingsError
from agent_api.ownership import Ownership

HOLDER = """
import sys, time
from pathlib import Path
from agent_api.ownership import Ownership
with Ownership(Path(sys.argv[1])) as ownership, ownership.owning("run_1"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def ownership(tmp_path):
    with Ownership(tmp_path) as opened:
        yield opened


def test_a_run_is_owned_for_as_long_as_the_block_lasts(ownership):
    assert not ownership.is_owned("run_1")
    with ownership.owning("run_1"):
        assert ownership.is_owned("run_1")
        assert not ownership.is_owned("run_2")
        with pytest.raises(RunBusyError, match="run_1"), ownership.owning("run_1"):
            pass
        assert ownership.is_owned("run_1")
    assert not ownership.is_owned("run_1")


def test_another_opening_of_the_folder_is_somebody_else(ownership, tmp_path):
    with Ownership(tmp_path) as other:
        with ownership.owning("run_1"):
            assert other.is_owned("run_1")
            with pytest.raises(RunBusyError), other.owning("run_1"):
                pass
            with other.owning("run_2"):
                assert ownership.is_owned("run_2")
        assert not other.is_owned("run_1")
        with other.owning("run_1"):
            assert ownership.is_owned("run_1")


def test_looking_at_a_run_keeps_nobody_from_it(ownership, tmp_path):
    def take():
        with Ownership(tmp_path) as other:
            for _ in range(2_000):
                with other.owning("run_1"):
                    pass

    with ThreadPoolExecutor(1) as thread:
        taking = thread.submit(take)
        while not taking.done():
            ownership.is_owned("run_1")
        taking.result()


def test_many_runs_are_held_at_once_and_nothing_is_left_behind(ownership, tmp_path):
    blocks = {name: ownership.owning(name) for name in map("run_{}".format, range(500))}
    for block in blocks.values():
        block.__enter__()
    with Ownership(tmp_path) as other:
        assert all(map(other.is_owned, blocks))
        assert not other.is_owned("run_500")
        for block in blocks.values():
            block.__exit__(None, None, None)
        assert not any(map(other.is_owned, blocks))
    assert [path.name for path in tmp_path.iterdir()] == ["runs.lock"]
    assert (tmp_path / "runs.lock").stat().st_size == 0
    assert (tmp_path / "runs.lock").stat().st_mode & 0o777 == 0o600


def test_a_killed_process_holds_nothing(ownership, tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert ownership.is_owned("run_1")
        with pytest.raises(RunBusyError), ownership.owning("run_1"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not ownership.is_owned("run_1")
    with ownership.owning("run_1"):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match=f"{os.sep}file"):
        Ownership(tmp_path / "file")


def test_nobody_else_of_the_machine_may_look_into_folders_that_are_made(tmp_path):
    before = os.umask(0o022)
    try:
        KeyStore(tmp_path / "a" / "data" / "access").close()
        with Ownership(tmp_path / "b" / "data"):
            pass
    finally:
        os.umask(before)
    made = [place for place in tmp_path.rglob("*") if place.stat().st_mode & 0o077]
    assert made == []
