"""Temporary folders of workers that have no file system of their own, and go also where their host is killed.

Each stands in one folder of this user, into which nobody else can put anything, and is locked (flock) by the host that made
it for as long as that host lives. Whoever makes one first removes those that nobody holds any more. systemd-tmpfiles, which
removes what is old, leaves locked folders alone as well.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from agent_skills.errors import IsolationError


class TemporaryFolder:
    """One of them; it is removed by `remove`, or when nothing refers to this any more."""

    def __init__(self, *, uid: int = -1, gid: int = -1) -> None:
        """For the user `uid` and the group `gid`; -1: those of this process.

        Raises:
            IsolationError: there is no place for it, or somebody else was there first, and could change what is put there.
        """
        try:
            home = _home()
            _sweep(home)
            self.path, lock = _make(home)
            self._remove = weakref.finalize(self, _remove, self.path, lock)
            os.chown(lock, uid, gid)
        except OSError as error:
            raise IsolationError(f"there is no temporary folder for a worker: {error}") from error

    def remove(self) -> None:
        """Remove it and all in it; a second call does nothing."""
        self._remove()


def _home() -> Path:
    user = os.geteuid()
    home = Path(tempfile.gettempdir(), f"agent-skills-{user}")
    # Root's workers are other users: they pass through, and cannot list it.
    mode = 0o711 if user == 0 else 0o700
    with suppress(FileExistsError):
        home.mkdir(mode)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
        raise IsolationError(
            f"{home} is no folder of this user: remove it, or name another place in the variable TMPDIR"
        )
    if stat.S_IMODE(found.st_mode) != mode:
        home.chmod(mode)
    return home


def _make(home: Path) -> tuple[str, int]:
    """A folder and the descriptor that locks it."""
    while True:
        path, lock = tempfile.mkdtemp(dir=home), -1
        try:
            lock = _opened(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except FileNotFoundError:  # swept before it was opened
            continue
        except OSError:
            _remove(path, lock)
            raise
        if Path(path).exists():
            return path, lock
        os.close(lock)  # swept before it was locked


def _sweep(home: Path) -> None:
    """Remove the folders whose hosts have ended."""
    for entry in tuple(os.scandir(home)):
        try:
            lock = _opened(entry.path)
        except OSError:
            continue  # it is gone, or no folder
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its host lives
            os.close(lock)
        else:
            _remove(entry.path, lock)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove(path: str, lock: int) -> None:
    try:
        Path(path).rmdir()  # the rule, and it takes no descriptor
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
    if lock >= 0:
        os.close(lock)
