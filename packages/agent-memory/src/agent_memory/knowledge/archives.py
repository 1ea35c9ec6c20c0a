"""What is in an archive, as files of their own: `manuals.zip!/pump/setup.md`. Bounded, for archives can be bombs."""

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from agent_memory.errors import ParseError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz")
MAX_DEPTH = 3
MAX_MEMBERS = 10_000
MAX_BYTES = 512 << 20
"""What all that an archive holds may take together when it is unpacked."""

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def is_archive(name: str) -> bool:
    """Whether `members` can look into it."""
    return name.lower().endswith(SUFFIXES)


def members(
    name: str, content: bytes, *, depth: int = 1, budget: list[int] | None = None
) -> Iterator[tuple[str, bytes]]:
    """The files in an archive, and in archives in it.

    Raises:
        ParseError: it is damaged, locked, nested too deeply, or unpacks to too much; what came before stands.
    """
    left = budget if budget is not None else [MAX_BYTES]
    if depth > MAX_DEPTH:
        raise ParseError(name, f"archives are nested more than {MAX_DEPTH} deep")
    try:
        for inner, told in _opened(name, content, left):
            path = f"{name}!/{inner}"
            if is_archive(inner):
                yield from members(path, told, depth=depth + 1, budget=left)
            else:
                yield path, told
    except _DAMAGED as error:
        raise ParseError(name, f"the archive cannot be read: {error}") from None


def _opened(name: str, content: bytes, left: list[int]) -> Iterator[tuple[str, bytes]]:
    lower = name.lower()
    if lower.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            for member in zipped.infolist()[:MAX_MEMBERS]:
                if not member.is_dir():
                    with zipped.open(member) as file:
                        yield member.filename, _bounded(name, file, left)
    elif lower.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for number, entry in enumerate(archive):
                inner = archive.extractfile(entry) if entry.isfile() and number < MAX_MEMBERS else None
                if inner is not None:
                    yield entry.name, _bounded(name, inner, left)
    else:
        with gzip.open(io.BytesIO(content)) as unzipped:
            yield name.rpartition("/")[2][: -len(".gz")], _bounded(name, cast("IO[bytes]", unzipped), left)


def _bounded(name: str, file: IO[bytes], left: list[int]) -> bytes:
    told = file.read(left[0] + 1)
    left[0] -= len(told)
    if left[0] < 0:
        raise ParseError(name, f"it unpacks to more than {MAX_BYTES >> 20} MB")
    return told
