"""The tokens of one server in one file, which only its owner can read. Several processes may use it at once.

Knows nothing of OAuth: tokens and the client's registration are JSON objects. What belongs to another address than the
server's is not there: a server that moved does not get the tokens of the one before.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import msgspec

from agent_core.json_types import JsonObject
from agent_skills.mcp.errors import McpLoginError

_LOCKED_AGAIN_S = 0.05


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a login."""

    url: str
    tokens: JsonObject | None = None
    client: JsonObject | None = None
    """How the authorization server knows us."""

    @property
    def access_token(self) -> str:
        """What goes with requests; empty: there is none."""
        return str((self.tokens or {}).get("access_token", ""))


class TokenFile:
    """The file of one server."""

    def __init__(self, server: str, path: Path, url: str) -> None:
        """`url` is the server's; `path` need not exist, nor its folder."""
        self.server = server
        self._path = path
        self._url = url

    def read(self) -> Held:
        """What is held now.

        Raises:
            McpLoginError: the file cannot be read.
        """
        try:
            held = msgspec.json.decode(self._path.read_bytes(), type=Held)
        except FileNotFoundError:
            return Held(url=self._url)
        except (OSError, msgspec.DecodeError) as error:
            raise McpLoginError(self.server, f"its tokens in {self._path} cannot be read: {error}") from error
        return held if held.url == self._url else Held(url=self._url)

    def write(self, *, tokens: JsonObject | None, client: JsonObject | None) -> None:
        """Keep a login instead of the one before. It is on the disk, whole, when this returns.

        Raises:
            McpLoginError: the file cannot be written.
        """
        data = msgspec.json.encode(Held(url=self._url, tokens=tokens, client=client))
        try:
            self._folder()
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open, readable by us alone
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    _give(file.fileno(), self._path.parent)
                Path(name).replace(self._path)
            except BaseException:
                Path(name).unlink()
                raise
        except OSError as error:
            raise McpLoginError(
                self.server, f"its tokens cannot be kept in {self._path}: {error.strerror}"
            ) from error

    def remove(self) -> bool:
        """Forget the login; returns whether there was one."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncGenerator[None]:
        """Hold others off who want to renew the tokens, in this process and in any other: a token renews but once.

        Raises:
            McpLoginError: there can be no file for that.
        """
        try:
            self._folder()
            descriptor = self._lock_file()
        except OSError as error:
            raise McpLoginError(
                self.server, f"its tokens in {self._path} cannot be renewed: {error.strerror}"
            ) from error
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await anyio.sleep(_LOCKED_AGAIN_S)
            yield
        finally:
            os.close(descriptor)

    # Root may log in for a service that is not root: what is made then belongs to who owns the folder around it. Only what
    # was made just now is given away, and by its descriptor: the service could have put a link to a file of root there.

    def _folder(self) -> None:
        folder = self._path.parent
        if folder.is_dir():
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _give(descriptor, folder.parent)
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int:
        path, how = f"{self._path}.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, how | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return os.open(path, how)
        _give(descriptor, self._path.parent)
        return descriptor


def _give(descriptor: int, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
