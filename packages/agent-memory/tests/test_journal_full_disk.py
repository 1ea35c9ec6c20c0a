# ruff: noqa: ASYNC240  # a test may wait for its own small files
import contextlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from agent_core.errors import JournalUnavailableError
from agent_core.testing.conformance.journal import a_run, events
from agent_memory import SqliteJournal


@contextlib.contextmanager
def file_system(folder: Path, options: str) -> Generator[Path]:
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def fill(journal: SqliteJournal) -> tuple[int, JournalUnavailableError]:
    """How many runs fit, and the error of the first that did not."""
    for number in range(1_000):
        try:
            await journal.append(f"r{number}", 0, a_run(f"r{number}", text="x" * 500), writer="w")
        except JournalUnavailableError as error:
            return number, error
    raise AssertionError("the disk did not fill up")


@pytest.mark.parametrize("size_kib", [130, 160, 200, 256])
async def test_a_full_disk_loses_nothing_and_the_journal_goes_on(tmp_path: Path, size_kib: int) -> None:
    with file_system(tmp_path / "small", f"size={size_kib}k") as folder:
        ballast = folder / "ballast"
        ballast.write_bytes(b"0" * 40_000)
        path = folder / "runs.db"
        async with await SqliteJournal.open(path) as journal:
            acknowledged, error = await fill(journal)
            assert "full" in error.reason
            assert error.where == str(path)
            assert error.retryable
            with pytest.raises(JournalUnavailableError):
                await journal.append(f"r{acknowledged}", 0, a_run("r", text="x" * 50_000), writer="w")
            for number in range(acknowledged):
                assert len(await events(journal, f"r{number}")) == 5
            assert await events(journal, f"r{acknowledged}") == ()

            ballast.unlink()
            run = a_run(f"r{acknowledged}")
            assert await journal.append(f"r{acknowledged}", 0, run, writer="w") == 5
        async with await SqliteJournal.open(path) as journal:
            for number in range(acknowledged + 1):
                assert len(await events(journal, f"r{number}")) == 5


async def test_a_disk_without_room_for_the_file_says_so(tmp_path: Path) -> None:
    with file_system(tmp_path / "small", "size=8k") as folder:
        (folder / "ballast").write_bytes(b"0" * 8_192)
        with pytest.raises(JournalUnavailableError, match="full"):
            await SqliteJournal.open(folder / "runs.db")
        (folder / "ballast").unlink()


def remount_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


async def test_a_read_only_file_system_says_so(tmp_path: Path) -> None:
    with file_system(tmp_path / "small", "size=1m") as folder:
        await (await SqliteJournal.open(folder / "runs.db")).close()
        remount_read_only(folder)
        for name in ("runs.db", "new.db"):
            with pytest.raises(JournalUnavailableError, match=r"permissions|may not be written"):
                async with await SqliteJournal.open(folder / name) as journal:
                    await journal.append("r", 0, a_run("r"), writer="w")


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may write everywhere; the file system above is read-only for it"
)
async def test_a_read_only_folder_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalUnavailableError, match="permissions"):
        await SqliteJournal.open(tmp_path / "runs.db")
