"""Folders that are gone with the process that made them, even where it was killed.

A folder is locked for as long as it is in use. The kernel drops the lock with the process, so a folder that can be
locked is left over, and whoever makes the next one removes it. A process id in the name would not tell as much: it
is given again, and means nothing in another container that shares the parent.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
import weakref
from pathlib import Path

_YOUNGEST_LEFTOVER_S = 60
"""Between its making and its locking a folder looks left over."""


class ScratchFolder:
    """A new folder in `parent` that nobody else may enter. `remove` it, or leave that to the end of the process."""

    def __init__(self, parent: Path, prefix: str) -> None:
        """Removes what dead processes left in `parent` under `prefix`, which is to be nobody else's."""
        _sweep(parent, prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # no locks on this file system: then nobody sweeps there either
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._remove = weakref.finalize(self, _remove, self.path, lock)

    def remove(self) -> None:
        """Remove it with all that is in it; does nothing the second time."""
        self._remove()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, in use, or not ours
            found = path.lstat()
            age_s = time.time() - found.st_mtime
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or age_s < _YOUNGEST_LEFTOVER_S:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
            else:
                _remove(path, lock)
