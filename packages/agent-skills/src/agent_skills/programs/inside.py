"""Inside the sandbox: runs one program and says what came of it. Alone in its sandbox: the standard library is all it has."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time

_CHUNK_BYTES = 65_536


def run(argv: list[str], stdin: str, folder: str, timeout_s: float, max_bytes: int) -> dict[str, object]:
    """Run a program to its end, or to its deadline; then all that it started is ended.

    Args:
        argv: the program and its arguments.
        stdin: what it reads.
        folder: where it stands.
        timeout_s: seconds until it is killed.
        max_bytes: bytes of its output (both streams, as they came) that are kept: the first half and the last.
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - to run what was asked for is what the sandbox is for
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder or None,
            start_new_session=True,
        )
    except OSError as error:
        return {
            "code": -1,
            "output": "",
            "cut": 0,
            "timed_out": False,
            "error": os.strerror(error.errno or 0),
        }
    kept = _Kept(max_bytes)
    timed_out = _pump(process, stdin.encode(errors="replace"), kept, began + timeout_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    return {"code": code, "output": kept.text(), "cut": kept.cut, "timed_out": timed_out, "error": ""}


class _Kept:
    """The first and the last bytes of an output."""

    def __init__(self, max_bytes: int) -> None:
        self._half = max_bytes // 2
        self._first = b""
        self._last = b""
        self.cut = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._first)
        self._first += data[:room]
        self._last += data[room:] if room > 0 else data
        if len(self._last) > self._half:
            self.cut += len(self._last) - self._half
            self._last = self._last[-self._half :]

    def text(self) -> str:
        middle = f"\n[... {self.cut:,} bytes left out ...]\n".encode() if self.cut else b""
        return (self._first + middle + self._last).decode(errors="replace")


def _pump(process: subprocess.Popen[bytes], data: bytes, kept: _Kept, deadline: float) -> bool:
    """Write the input, read the output; True where the deadline came first. Ends with the program, not with its pipe:
    what it left in the background may hold that open.
    """
    assert process.stdin is not None  # noqa: S101 - for the checkers
    assert process.stdout is not None  # noqa: S101 - as above
    os.set_blocking(process.stdin.fileno(), False)
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if data:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            is_over = process.poll() is not None
            ready = selector.select(0 if is_over else min(left, 0.05))
            if is_over and not ready:
                break
            for key, _ in ready:
                if key.fileobj is process.stdout:
                    _read(process, selector, kept)
                else:
                    data = _write(process, selector, data)
    try:
        process.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        return True
    return False


def _read(process: subprocess.Popen[bytes], selector: selectors.BaseSelector, kept: _Kept) -> None:
    assert process.stdout is not None  # noqa: S101 - for the checkers
    chunk = os.read(process.stdout.fileno(), _CHUNK_BYTES)
    if chunk:
        kept.add(chunk)
    else:
        selector.unregister(process.stdout)


def _write(process: subprocess.Popen[bytes], selector: selectors.BaseSelector, data: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101 - for the checkers
    try:
        data = data[os.write(process.stdin.fileno(), data[:_CHUNK_BYTES]) :]
    except BrokenPipeError:
        data = b""
    if not data:
        selector.unregister(process.stdin)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    return data
