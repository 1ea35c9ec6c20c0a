"""Has a plugin say what it brings: it is loaded once, in a worker of its own, and never in this process. Blocks."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import msgspec

from agent_skills.errors import PluginRefusedError
from agent_skills.isolation.failure import Failure
from agent_skills.isolation.sandbox import plain
from agent_skills.manifest import PluginManifest
from agent_skills.skill import Home

LOADING_TIMEOUT_S = 30.0
"""Seconds that a plugin may take to be imported."""
MAX_MANIFEST_BYTES = 4 * 1024 * 1024


def describe(home: Home, timeout_s: float = LOADING_TIMEOUT_S) -> PluginManifest:
    """Load a plugin in a worker of its own, and have it say what it brings. Blocks.

    Raises:
        PluginRefusedError: it does not import, takes too long, or what it brings is wrong.
    """
    launch = plain()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(  # noqa: S603 - our own worker
            [*launch.command, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=launch.environment,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
        theirs.close()
        try:
            question = {"plugin": home.plugin, "target": home.target}
            ours.sendall(b"".join(json.dumps(one).encode() + b"\n" for one in (launch.order(), question)))
            _, answer = _lines(ours, 2, time.monotonic() + timeout_s)
        except TimeoutError:
            raise PluginRefusedError(home.plugin, f"its import took more than {timeout_s:g} s") from None
        except (OSError, EOFError):
            raise PluginRefusedError(home.plugin, "its import ended the process") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return _read(home, answer)


def _lines(ours: socket.socket, count: int, until: float) -> list[bytes]:
    said = b""
    while said.count(b"\n") < count:
        if len(said) > MAX_MANIFEST_BYTES:
            raise EOFError
        ours.settimeout(max(0.001, until - time.monotonic()))
        piece = ours.recv(65_536)
        if not piece:
            raise EOFError
        said += piece
    return said.split(b"\n")[:count]


class _Answer(msgspec.Struct, frozen=True):
    ok: PluginManifest | None = None
    error: Failure | None = None


def _read(home: Home, line: bytes) -> PluginManifest:
    try:
        answer = msgspec.json.decode(line, type=_Answer)
    except msgspec.MsgspecError as error:
        raise PluginRefusedError(home.plugin, f"its manifest is wrong: {error}") from error
    if answer.ok is not None:
        return answer.ok
    failure = answer.error or Failure()
    if failure.kind == "PluginRefusedError":
        raise PluginRefusedError(home.plugin, failure.reason)
    raise PluginRefusedError(home.plugin, f"its import failed: {failure.line}")
