"""Fetches one wheel through the installer that is here, pip or uv, from the package index that it is set up for.

Everything that the installer writes lies in the folder that it is given, so that nothing is left elsewhere and the
bytes can be counted.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.2
_PATIENCE_S = 300.0
"""Seconds without one new byte until it is given up; installers try again by themselves before that."""
_LONGEST_REASON = 400


class InstallerError(Exception):
    """The installer is missing or did not bring the wheel; the message says why. Caught in `weights`."""


def fetch(requirement: str, folder: Path, on_bytes: Callable[[int], None]) -> None:
    """Bring the wheel of `requirement` into `folder`, packed or unpacked. Blocking.

    `on_bytes` is called with the bytes that are there, a few times a second. The installer ends with the call,
    whatever ends the call.

    Raises:
        InstallerError: there is no installer, it failed, or nothing came for five minutes.
    """
    command = command_for(requirement, folder)
    if command is None:
        raise InstallerError("neither pip nor uv is here to fetch it")
    environment = {**os.environ, "TMPDIR": str(folder)}
    with tempfile.TemporaryFile() as said:
        installer = subprocess.Popen(  # noqa: S603 (our own argument list, no shell)
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment
        )
        try:
            _watch(installer, folder, on_bytes)
        finally:
            _end(installer)
        if installer.returncode != 0:
            said.seek(0)
            words = " ".join(said.read().decode("utf-8", "replace").split())
            raise InstallerError(
                words[-_LONGEST_REASON:] or f"the installer ended with {installer.returncode}"
            )


def command_for(requirement: str, folder: Path) -> list[str] | None:
    """The installer of this environment, else uv, else None. No index is named."""
    options = ["--no-deps", "--only-binary", ":all:", "-q"]
    if importlib.util.find_spec("pip") is not None:
        options += ["--no-input", "--disable-pip-version-check", "--no-cache-dir", "--dest", str(folder)]
        return [sys.executable, "-m", "pip", "download", *options, requirement]
    uv = shutil.which("uv")
    if uv is None:
        return None
    options += ["--python", sys.executable, "--cache-dir", str(folder / "cache")]
    return [uv, "pip", "install", *options, "--target", str(folder / "wheel"), requirement]


def _watch(installer: subprocess.Popen[bytes], folder: Path, on_bytes: Callable[[int], None]) -> None:
    most, since = -1, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            installer.wait(timeout=_POLL_S)
            return
        here = _size(folder)
        if here > most:
            most, since = here, time.monotonic()
            on_bytes(here)
        elif time.monotonic() - since > _PATIENCE_S:
            raise InstallerError(f"nothing came for {_PATIENCE_S:.0f} s")


def _end(installer: subprocess.Popen[bytes]) -> None:
    if installer.poll() is None:
        installer.terminate()
        try:
            installer.wait(timeout=5)
        except subprocess.TimeoutExpired:
            installer.kill()
            installer.wait()


def _size(folder: Path) -> int:
    """The bytes of the largest file: the wheel that grows, or what is in it."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone or renamed meanwhile
                largest = max(largest, (Path(parent) / name).lstat().st_size)
    return largest
