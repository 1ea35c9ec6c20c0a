"""Who drives a run: one process at a time, by a lock that the kernel drops when the process dies, however it dies.

The journal alone keeps history from forking; the lock keeps two processes from doing the same work.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agent_api.errors import RunBusyError


@contextmanager
def owning(data_path: Path, run_id: str) -> Generator[None]:
    """Hold the run for as long as the block lasts.

    Raises:
        RunBusyError: another process, or another task of this one, holds it.
    """
    path = data_path / "locks" / f"{run_id}.lock"
    try:
        lock = _locked(path)
    except FileNotFoundError:  # the first run of all
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _locked(path)
    if lock is None:
        raise RunBusyError(run_id)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def is_owned(data_path: Path, run_id: str) -> bool:
    """Whether some process drives the run at this moment."""
    path = data_path / "locks" / f"{run_id}.lock"
    if not path.exists():
        return False
    lock = _locked(path)
    if lock is None:
        return True
    path.unlink(missing_ok=True)  # left behind by a process that was killed
    os.close(lock)
    return False


def _locked(path: Path) -> int | None:
    """A locked descriptor of the file, or None where somebody else holds it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)  # its owner unlinked it between our open and our lock: take the new one
