"""Who drives a run: one process at a time, by a lock that the kernel drops when the process dies, however it dies.

The journal alone keeps history from forking; the lock keeps two processes from doing the same work. All runs of a tenant share
one empty file: a run is a byte of it, at a place made of its id, so that a lock is one call and leaves nothing behind.
"""

import fcntl
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Self

from agent_api.errors import RunBusyError, SettingsError
from agent_memory.sqlite import make_private_folder

_FLOCK = struct.Struct("hhqqi0q")
"""`struct flock` of Linux on 64 bits (fcntl(2)): type, whence, start, length, pid; padded to its alignment."""


class Ownership:
    """The runs of one data folder, as this process holds them or sees them held.

    The locks are of the open file (`F_OFD_SETLK`), not of the process: another `Ownership` of the same process is somebody else.
    """

    def __init__(self, data_path: Path) -> None:
        """Open the file in the folder; it is made where it is missing.

        Raises:
            SettingsError: it cannot be.
        """
        path = data_path / "runs.lock"
        try:
            make_private_folder(data_path)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"the file {path} cannot be opened: {error.strerror}") from error
        self._own: set[str] = set()

    @contextmanager
    def owning(self, run_id: str) -> Generator[None]:
        """Hold the run for as long as the block lasts.

        Raises:
            RunBusyError: another process, or another task of this one, holds it.
        """
        if run_id in self._own:
            raise RunBusyError(run_id)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _range(run_id, fcntl.F_WRLCK))
        except BlockingIOError as error:
            raise RunBusyError(run_id) from error
        self._own.add(run_id)
        try:
            yield
        finally:
            self._own.discard(run_id)
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _range(run_id, fcntl.F_UNLCK))

    def is_owned(self, run_id: str) -> bool:
        """Whether some process drives the run at this moment."""
        if run_id in self._own:
            return True
        found = fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, _range(run_id, fcntl.F_WRLCK))
        kind: int = _FLOCK.unpack(found)[0]
        return kind != fcntl.F_UNLCK

    def close(self) -> None:
        """Hold nothing any more; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _range(run_id: str, kind: int) -> bytes:
    """The run's byte, for a call. Two runs of one place are as unlikely as two of one id."""
    place = int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest()) >> 2  # under the largest offset
    return _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
