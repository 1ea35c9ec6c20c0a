"""A disk without room: one clear line, nothing half written, and once there is room the run goes on."""

import subprocess
from pathlib import Path

import pytest

PROMPT = "What is 17*23?"

pytestmark = pytest.mark.model


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("free_kb", [4, 40, 80, 90, 100, 120])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on(agent, small_disk, free_kb):
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * ((1024 - free_kb) * 1024))
    data = {"AGENT_DATA_DIR": str(small_disk / "data")}
    ran = agent("run", PROMPT, **data)
    if ran.code != 0:
        assert ran.err.startswith("error: ")
        assert len(ran.err.splitlines()) <= 2
    filler.unlink()
    resumed = agent("runs", "resume", "--json", **data)
    if resumed.code == 3:
        assert ran.code != 0, "a run that was said to be done is there"
        assert agent("run", PROMPT, **data).out == "17 * 23 = 391\n", (
            "the disk is used as if nothing had been"
        )
        return
    assert resumed.code == 0, resumed.err
    assert resumed.answer == "17 * 23 = 391"
