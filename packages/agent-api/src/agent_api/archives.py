"""An export as one stream: a tar archive of its files, written and read as it goes. Knows nothing of what is in them.

What comes in is a stranger's: only plain files with names of an export are taken, and nothing is unpacked but what was sent.
"""

import re
import tarfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import anyio

from agent_memory import ImportFormatError

MEDIA_TYPE = "application/x-tar"
CHUNK_BYTES = 256 * 1024
MAX_FILES = 200
MAX_NOTE_BYTES = 64 * 1024
_NOTES = (tarfile.XHDTYPE, tarfile.XGLTYPE)
"""What other programs put before a file, such as its times to the nanosecond: not looked at."""
_FILE = re.compile(r"manifest\.json|(?:memory|skills|knowledge)\.[a-z][a-z0-9_]{0,39}\.jsonl")
_END = bytes(2 * tarfile.BLOCKSIZE)

NextPiece = Callable[[], Awaitable[bytes]]
"""The next piece of a body; empty: that was all."""


def packed_size(paths: Sequence[Path]) -> int:
    """How long the archive of these files is, in bytes."""
    return len(_END) + sum(tarfile.BLOCKSIZE + _padded(path.stat().st_size) for path in paths)


async def packed(paths: Sequence[Path]) -> AsyncGenerator[bytes]:
    """The archive of these files, a piece at a time.

    Raises:
        OSError: a file cannot be read.
    """
    for path in paths:
        size = (await anyio.Path(path).stat()).st_size
        about = tarfile.TarInfo(path.name)
        about.size, about.mode = size, 0o600
        yield about.tobuf(tarfile.USTAR_FORMAT)
        async with await anyio.open_file(path, "rb") as file:
            while piece := await file.read(CHUNK_BYTES):
                yield piece
        yield bytes(_padded(size) - size)
    yield _END


async def unpack(next_piece: NextPiece, folder: Path) -> None:
    """Write the files of an archive into a folder that is there, as it comes in.

    Raises:
        ImportFormatError: it is no archive, is cut, or holds something that is no file of an export.
        OSError: a file cannot be written.
    """
    body = _Body(next_piece)
    for _ in range(MAX_FILES):
        block = await body.exactly(tarfile.BLOCKSIZE)
        if not block.strip(b"\0"):
            break
        about = _header(block)
        if about.isreg():
            await _take(body, about, folder)
        elif about.isdir() and about.name.strip("./") == "":
            continue
        elif about.type in _NOTES and about.size <= MAX_NOTE_BYTES:
            await body.exactly(about.size)
        else:
            raise _refused(f"{about.name!r} is no file of an export in JSON Lines")
        await body.exactly(_padded(about.size) - about.size)
    else:
        raise _refused(f"it has more than {MAX_FILES} files")
    while await next_piece():  # what is behind its end is no part of it, and is not left on the connection
        pass


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _refused(f"it is no tar archive: {error}") from error


async def _take(body: "_Body", about: tarfile.TarInfo, folder: Path) -> None:
    name = about.name.removeprefix("./")
    if not _FILE.fullmatch(name):
        raise _refused(f"{name!r} is no file of an export in JSON Lines")
    left = about.size
    try:
        async with await anyio.open_file(folder / name, "xb") as file:
            while left:
                piece = await body.some(left)
                await file.write(piece)
                left -= len(piece)
    except FileExistsError:
        raise _refused(f"{name!r} is there twice") from None


class _Body:
    """Hands out of a body what is asked for; holds one piece of it."""

    def __init__(self, next_piece: NextPiece) -> None:
        self._next_piece = next_piece
        self._left = b""

    async def some(self, most: int) -> bytes:
        """Some bytes, at most so many."""
        if not self._left:
            self._left = await self._next_piece()
            if not self._left:
                raise _refused("it is cut")
        found, self._left = self._left[:most], self._left[most:]
        return found

    async def exactly(self, size: int) -> bytes:
        """So many bytes; few, as all are held."""
        found = b""
        while len(found) < size:
            found += await self.some(size - len(found))
        return found


def _refused(reason: str) -> ImportFormatError:
    return ImportFormatError("the archive", reason)


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
