"""One process drives a run at a time, and a dead process holds nothing."""

import signal
import subprocess
import sys

import pytest

from agent_api.errors import RunBusyError
from agent_api.ownership import is_owned, owning

HOLDER = """
import sys, time
from pathlib import Path
from agent_api.ownership import owning
with owning(Path(sys.argv[1]), "run_1"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_is_owned_for_as_long_as_the_block_lasts(tmp_path):
    assert not is_owned(tmp_path, "run_1")
    with owning(tmp_path, "run_1"):
        assert is_owned(tmp_path, "run_1")
        assert not is_owned(tmp_path, "run_2")
        with pytest.raises(RunBusyError, match="run_1"), owning(tmp_path, "run_1"):
            pass
        assert is_owned(tmp_path, "run_1")
    assert not is_owned(tmp_path, "run_1")
    assert list((tmp_path / "locks").iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunBusyError), owning(tmp_path, "run_1"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not is_owned(tmp_path, "run_1")
    with owning(tmp_path, "run_1"):
        pass
