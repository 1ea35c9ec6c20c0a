"""Which definitions of tools a person has approved, by hash, in one file.

The first time a server is seen, all of its tools are taken as approved (trust on first use), unless the settings say
otherwise. After that a tool that is new, or another than it was, waits in quarantine until a person approves exactly
that definition. A rename is a tool that is gone and one that is new. A file that cannot be read approves nothing.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.mcp.client import hygiene
from agent_skills.mcp.errors import PinsUnreadableError

_HASHED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Standing(StrEnum):
    """What may be done with a tool."""

    APPROVED = "approved"
    QUARANTINED = "quarantined"
    """It waits for a person."""
    REFUSED = "refused"
    """Something is wrong with it that nobody can approve."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of a server, and whether it may be mounted."""

    tool: JsonObject
    digest: str
    standing: Standing
    reason: str = ""
    before: JsonObject | None = None
    """The definition that was approved, where it is another now."""

    @property
    def name(self) -> str:
        """The tool's own name."""
        return str(self.tool.get("name", ""))


class _Pin(msgspec.Struct, frozen=True, kw_only=True):
    digest: str
    tool: JsonObject


class _Server(msgspec.Struct, kw_only=True):
    identity: str
    tools: dict[str, _Pin] = {}


class _File(msgspec.Struct, kw_only=True):
    version: int = 1
    servers: dict[str, _Server] = {}


class Pins:
    """The file of approved tools. What another process writes there is seen when a server is judged the next time."""

    def __init__(self, path: Path, *, trust_first_use: bool = True) -> None:
        """Read the file; without one, nothing was seen yet.

        Raises:
            PinsUnreadableError: it is there and cannot be read.
        """
        self._path = path
        self._trust_first_use = trust_first_use
        self._stamp = _stamp(path)
        self._file = _read(path)

    def judge(self, server: str, identity: str, tools: Sequence[JsonObject]) -> list[Judged]:
        """What may be done with each tool that a server offers. A server that is seen first is written down.

        Args:
            server: its name in the settings.
            identity: what it says it is; another one than before puts all its tools into quarantine.
            tools: as it describes them.
        """
        self._look_again()
        seen = self._file.servers.get(server)
        names = [str(tool.get("name")) for tool in tools]
        judged = [
            self._judge(seen, identity, tool, is_twice=names.count(str(tool.get("name"))) > 1)
            for tool in tools[: hygiene.MAX_TOOLS]
        ]
        judged += [
            _refused(tool, f"the server offers over {hygiene.MAX_TOOLS} tools")
            for tool in tools[hygiene.MAX_TOOLS :]
        ]
        if seen is None:
            self._file.servers[server] = _Server(identity=identity)
            self._pin(server, (one for one in judged if one.standing is Standing.APPROVED))
        return judged

    def missing(self, server: str, tools: Sequence[JsonObject]) -> list[str]:
        """Tools that were approved and that the server does not offer any more."""
        seen = self._file.servers.get(server)
        offered = {str(tool.get("name")) for tool in tools}
        return [] if seen is None else [name for name in seen.tools if name not in offered]

    def approve(self, server: str, identity: str, judged: Iterable[Judged]) -> None:
        """Take definitions as approved: exactly those that a person was shown.

        Raises:
            ValueError: one of them is refused for good.
        """
        chosen = tuple(judged)
        for one in chosen:
            if one.standing is Standing.REFUSED:
                raise ValueError(f"{one.name!r} cannot be approved: {one.reason}")
        self._look_again()
        entry = self._file.servers.setdefault(server, _Server(identity=identity))
        if entry.identity != identity:  # what the other server had is not what this one has
            self._file.servers[server] = _Server(identity=identity)
        self._pin(server, chosen)

    def forget(self, server: str) -> None:
        """Forget a server: the next time it is seen, it is seen first."""
        self._look_again()
        if self._file.servers.pop(server, None) is not None:
            self._save()

    def _pin(self, server: str, judged: Iterable[Judged]) -> None:
        tools = self._file.servers[server].tools
        tools.update({one.name: _Pin(digest=one.digest, tool=_definition(one.tool)) for one in judged})
        self._save()

    def _judge(self, seen: _Server | None, identity: str, tool: JsonObject, *, is_twice: bool) -> Judged:
        fault = "the server offers two tools of this name" if is_twice else hygiene.fault_of(tool)
        if fault:
            return _refused(tool, fault)
        pin = seen.tools.get(str(tool["name"])) if seen is not None else None
        digest = digest_of(tool)
        standing, reason = Standing.QUARANTINED, ""
        if seen is None:
            standing = Standing.APPROVED if self._trust_first_use else standing
            reason = "" if self._trust_first_use else "it was never approved"
        elif seen.identity != identity:
            reason = f"the server says that it is {identity!r}, and was {seen.identity!r}"
        elif pin is None:
            reason = "it is new: it was never approved"
        elif pin.digest != digest:
            reason = f"it was changed: {_difference(pin.tool, tool)}"
        else:
            standing = Standing.APPROVED
        before = pin.tool if pin is not None and pin.digest != digest else None
        return Judged(tool=tool, digest=digest, standing=standing, reason=reason, before=before)

    def _look_again(self) -> None:
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._file = _read(self._path)
            self._stamp = stamp

    def _save(self) -> None:
        """Write the file anew, whole or not at all, for this user alone."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(_ENCODER.encode(self._file), indent=1))
                file.flush()
                os.fsync(file.fileno())
            Path(scratch).replace(self._path)
            self._stamp = _stamp(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(scratch).unlink()
            raise


def digest_of(tool: JsonObject) -> str:
    """The hash of all that a tool says of itself."""
    return hashlib.sha256(_ENCODER.encode(_definition(tool))).hexdigest()


def _definition(tool: JsonObject) -> dict[str, object]:
    return {key: tool[key] for key in _HASHED if key in tool}


def _difference(before: JsonObject, after: JsonObject) -> str:
    changed = [key for key in _HASHED if before.get(key) != after.get(key)]
    return ", ".join(changed)


def _refused(tool: JsonObject, reason: str) -> Judged:
    return Judged(tool=tool, digest="", standing=Standing.REFUSED, reason=reason)


def _stamp(path: Path) -> tuple[int, int]:
    """What tells one version of the file from the next: each is a new file."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)


def _read(path: Path) -> _File:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _File()
    except OSError as error:
        raise PinsUnreadableError(str(path), os.strerror(error.errno or 0)) from None
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PinsUnreadableError(str(path), str(error)) from None
    if file.version != 1:
        raise PinsUnreadableError(str(path), f"it is of version {file.version}")
    return file
