import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent_gateway import scratch as module
from agent_gateway.scratch import ScratchFolder

HELD = """
import sys, time
from pathlib import Path
from agent_gateway.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]), "ours-")
(folder.path / "socket").touch()
print(folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_YOUNGEST_LEFTOVER_S", -1)


def test_only_its_owner_may_enter_and_it_goes_with_the_block(tmp_path: Path) -> None:
    with ScratchFolder(tmp_path, "ours-") as path:
        assert path.stat().st_mode & 0o077 == 0
        (path / "deep").mkdir()
    assert not path.exists()


def test_it_goes_with_its_object(tmp_path: Path) -> None:
    folder = ScratchFolder(tmp_path, "ours-")
    folder.remove()
    folder.remove()
    ScratchFolder(tmp_path, "ours-")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HELD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        ScratchFolder(tmp_path, "ours-").remove()
        assert held.exists(), "its process lives"
        holder.send_signal(signal.SIGKILL)
    assert held.exists()
    ScratchFolder(tmp_path, "ours-").remove()
    assert not held.exists()


def test_nothing_else_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "ours-file").touch()
    (tmp_path / "ours-link").symlink_to(tmp_path / "other")
    ScratchFolder(tmp_path, "ours-").remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "ours-file", "ours-link"]
    (tmp_path / "ours-of-another").mkdir()
    with monkeypatch.context() as another:
        another.setattr(os, "getuid", lambda: 12_345)
        ScratchFolder(tmp_path, "ours-").remove()
    assert (tmp_path / "ours-of-another").exists()


def test_what_was_made_just_now_may_not_be_locked_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_YOUNGEST_LEFTOVER_S", 60)
    (tmp_path / "ours-new").mkdir()
    ScratchFolder(tmp_path, "ours-").remove()
    assert (tmp_path / "ours-new").exists()
