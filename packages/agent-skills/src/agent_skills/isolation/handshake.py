"""The first moments of bubblewrap: it says which process it made, and where the host is root waits for its user map.

Blocking, so it runs in a thread. It is never cut short: a bubblewrap that is killed between making a process and letting
it run leaves that process behind, waiting for ever.
"""

import contextlib
import os
import select
from pathlib import Path

import msgspec

from agent_skills.isolation.launching import Launch
from agent_skills.isolation.sandbox import UNPRIVILEGED

TIMEOUT_MS = 10_000


class _Info(msgspec.Struct, frozen=True, rename="kebab"):
    child_pid: int


class Handshake:
    """The descriptors of one start of bubblewrap, and what is said over them."""

    def __init__(self, launch: Launch) -> None:
        """Raises:
        OSError: this process has no descriptor left.
        """
        self._users = launch.users
        self._filter = self._info = self._info_theirs = self._block_theirs = self._block = -1
        try:
            self._filter = os.memfd_create("seccomp")
            os.write(self._filter, launch.filter)
            os.lseek(self._filter, 0, os.SEEK_SET)
            self._info, self._info_theirs = os.pipe()
            if launch.users:
                self._block_theirs, self._block = os.pipe()
        except OSError:
            self.close()
            raise

    def options(self) -> tuple[str, ...]:
        """What is added to the command, behind the program's name."""
        blocked = () if self._users is None else ("--userns-block-fd", str(self._block_theirs))
        return ("--info-fd", str(self._info_theirs), "--seccomp", str(self._filter), *blocked)

    def descriptors(self) -> tuple[int, ...]:
        """What the started process is to inherit."""
        return tuple(one for one in (self._info_theirs, self._block_theirs, self._filter) if one >= 0)

    def perform(self) -> int:
        """Once the program was started: the pidfd of the sandbox's first process; killing that kills all in it.

        Raises:
            OSError: the program ended, or did not speak in time.
        """
        try:
            self._close_theirs()
            pid = msgspec.json.decode(self._read(), type=_Info).child_pid
            return self._admit(pid)
        except msgspec.DecodeError as error:
            raise OSError("bubblewrap did not start; is it allowed to make user namespaces?") from error
        finally:
            self.close()

    def _read(self) -> bytes:
        said = b""
        poll = select.poll()
        poll.register(self._info, select.POLLIN)
        while not said.rstrip().endswith(b"}"):
            if not poll.poll(TIMEOUT_MS):
                raise OSError(f"bubblewrap said nothing for {TIMEOUT_MS / 1000:g} s")
            piece = os.read(self._info, 4096)
            if not piece:
                break
            said += piece
        return said

    def _admit(self, pid: int) -> int:
        """Map root, who sets the sandbox up, and the powerless user, whom the worker becomes."""
        pidfd = os.pidfd_open(pid)
        if self._users is None:
            return pidfd
        try:
            for name, outside in (("uid_map", self._users.uid), ("gid_map", self._users.gid)):
                place, text = Path(f"/proc/{pid}/{name}"), f"0 0 1\n{UNPRIVILEGED} {outside} 1\n"
                place.write_text(text, encoding="ascii")
            os.write(self._block, b"1")
        except OSError:
            os.close(pidfd)
            raise
        return pidfd

    def _close_theirs(self) -> None:
        for name in ("_info_theirs", "_block_theirs", "_filter"):
            if (descriptor := getattr(self, name)) >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def close(self) -> None:
        """Close all that is open; may be called twice."""
        self._close_theirs()
        for name in ("_info", "_block"):
            if (descriptor := getattr(self, name)) >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
                setattr(self, name, -1)
