"""Keeps one server process: starts it again when it crashes, and ends it and all its children with whoever asked for it.

    python leash.py --log FILE -- COMMAND ...

A program of its own, of the standard library alone. It is a process between ours and the server because only a process
that does nothing else can be told of our death, kill a whole group, and restart without a thread of ours. Linux: it asks
for a signal at its parent's death (`prctl(2)`, PR_SET_PDEATHSIG), and the server asks for one at its own.
"""

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
STEADY_S = 300.0
"""A server that ran for so long is not in a loop of crashes: the pauses begin anew."""
MOST_CRASHES = 5
"""One behind the other, then it is given up."""
_STOPPING_S = 8.0
_LOOK_S = 0.1


class Leash:
    """One server on it; `hold` returns when that is over for good."""

    def __init__(
        self, command: Sequence[str], log: IO[bytes], *, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._command = list(command)
        self._log = log
        self._first_pause_s = first_pause_s
        self._ended = False

    def hold(self) -> int:
        """Run the server until it ends well, is asked to end, or crashed too often; returns its exit status."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        crashes = 0
        while True:
            began = time.monotonic()
            status = self._once()
            if status == 0 or self._is_over():
                return status
            crashes = 1 if time.monotonic() - began > STEADY_S else crashes + 1
            if crashes >= MOST_CRASHES:
                self._say(f"it crashed {crashes} times in a row: given up")
                return status
            pause_s = min(self._first_pause_s * 2 ** (crashes - 1), LONGEST_PAUSE_S)
            self._say(f"it ended with {status}: started again in {pause_s:g} s")
            self._wait(pause_s)
            if self._is_over():
                return status

    def _once(self) -> int:
        server = subprocess.Popen(  # noqa: S603 (the command that we were given, no shell)
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (this process has one thread)
        )
        try:
            while server.poll() is None and not self._ended:
                time.sleep(_LOOK_S)
        finally:
            _end_group(server)
        return server.returncode

    def _wait(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while time.monotonic() < until and not self._ended:
            time.sleep(_LOOK_S)

    def _is_over(self) -> bool:
        return self._ended  # a signal may have come at any time

    def _say(self, words: str) -> None:
        self._log.write(f"\nleash: {words}\n".encode())
        self._log.flush()

    def _end(self, _number: int, _frame: object) -> None:
        self._ended = True


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """The server and what it started: gently, then not."""
    for number, patience_s in ((signal.SIGTERM, _STOPPING_S), (signal.SIGKILL, _STOPPING_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            server.poll()
            _reap()
            if not _has_members(server.pid):
                return
            time.sleep(_LOOK_S / 2)


def _reap() -> None:
    """Orphans of the server come to us, and stand in its group until somebody asks how they ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            os.waitpid(-1, os.WNOHANG)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--pause", type=float, default=FIRST_PAUSE_S)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != given.parent:  # it died before we asked to be told
        return 1
    with given.log.open("ab") as log:
        return Leash(given.command, log, first_pause_s=given.pause).hold()


if __name__ == "__main__":
    sys.exit(main())
