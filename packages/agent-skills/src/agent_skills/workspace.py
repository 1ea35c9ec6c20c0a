"""One folder that may be read, and nothing outside it. Holds against paths made up by a model or by an attacker.

A path is walked component by component with open file descriptors, and no symbolic link is followed, not even one
that stays inside: so there is no moment between the check and the opening in which a folder could be swapped.
"""

import codecs
import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent_skills.errors import SkillError, SkillFailedError

MAX_PATH_CHARS = 1_024
MAX_DEPTH = 12
"""Folders inside one another that a walk of the tree enters."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# NONBLOCK: to open a FIFO that replaced the file after it was looked at must not block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class WorkspaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which folder may be read, and how much of it at once."""

    folder: Path
    max_read_bytes: int = 60_000
    """Bytes of one file that are read; the rest is left out with a note."""
    max_entries: int = 500
    """Entries of a folder that are listed."""
    max_walk: int = 5_000
    """Entries that are looked at when the tree is searched for candidates."""
    allow_hard_links: bool = False
    """A file with several names may be one from outside. Set it where tools (uv, git) link files inside."""


class PathRefusedError(SkillFailedError):
    """A path that may not be read, or cannot be."""


class Entry(NamedTuple):
    """One entry of a folder."""

    name: str
    kind: str
    """`file`, `folder` or `other` (links, devices and the like: not readable)."""
    size_bytes: int


class Excerpt(NamedTuple):
    """A piece of a file."""

    text: str
    size_bytes: int
    """Of the whole file."""
    end: int
    """The byte behind the piece: where to read on."""
    cut: bool
    """There is more."""


class Workspace:
    """The one folder. Every path is relative to it, with `/` between the parts."""

    def __init__(self, settings: WorkspaceSettings) -> None:
        """The folder may be given through links; what it is now is what is meant from here on.

        Raises:
            SkillError: it is no folder.
        """
        self._settings = settings
        self._root = os.path.realpath(settings.folder)
        if not os.path.isdir(self._root):  # noqa: PTH112 - a string on purpose: paths are walked by parts
            raise SkillError(f"the workspace {str(settings.folder)!r} is no folder; create it or set another")

    def entries(self, path: str) -> tuple[list[Entry], bool]:
        """The entries of a folder by name, and whether there are more than `max_entries`.

        Raises:
            PathRefusedError: the path may not or cannot be read, or is no folder.
        """
        with self._opened(path, _parts(path), _FOLDER) as folder, os.scandir(folder) as scan:
            entries = sorted(_entry(item) for item in itertools.islice(scan, self._settings.max_walk))
        return entries[: self._settings.max_entries], len(entries) > self._settings.max_entries

    def read(self, path: str, start: int = 0) -> Excerpt:
        """The text of a file (UTF-8; what is none is replaced) from byte `start` on.

        Raises:
            PathRefusedError: the path may not or cannot be read, or is no text file.
        """
        parts = _parts(path)
        if not parts:
            raise _refusal(path, "it is the workspace folder itself, not a file", code="not_a_file")
        limit = self._settings.max_read_bytes
        with self._opened(path, parts, _FILE) as file:
            size = self._check(path, os.fstat(file))
            start = min(max(start, 0), size)
            os.lseek(file, start, os.SEEK_SET)
            data = b""
            while len(data) <= limit and (chunk := os.read(file, limit + 1 - len(data))):
                data += chunk
        if b"\0" in data:
            raise _refusal(path, f"it is no text but {size:,} bytes of binary data", code="not_text")
        cut = len(data) > limit
        # A character that the cut went through is left out; a broken one inside the text is replaced.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data[:limit], final=not cut)
        end = start + len(data[:limit]) - len(decoder.getstate()[0])
        return Excerpt(text, max(size, end), end, cut)

    def walk(self) -> Iterator[tuple[str, bool]]:
        """Paths in the workspace and whether each is a folder; hidden folders and links are not entered."""
        left = self._settings.max_walk
        for folder, folders, files, descriptor in os.fwalk(self._root, follow_symlinks=False):
            inside = os.path.relpath(folder, self._root)
            prefix = "" if inside == "." else f"{inside}/"
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in (*folders, *sorted(files)):
                left -= 1
                if left < 0:
                    return
                with contextlib.suppress(OSError):  # gone since the folder was read
                    mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                        yield _printable(prefix + name), stat.S_ISDIR(mode)
            if prefix.count("/") >= MAX_DEPTH:
                folders.clear()

    def _check(self, path: str, status: os.stat_result) -> int:
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "it is no regular file", code="not_a_file")
        if status.st_nlink > 1 and not self._settings.allow_hard_links:
            raise _refusal(path, "it has several names (hard links), one of which may lie outside")
        return status.st_size

    @contextlib.contextmanager
    def _opened(self, path: str, parts: list[str], flags: int) -> Generator[int]:
        """The file descriptor of a path, reached from the root through folders alone."""
        descriptor = os.open(self._root, _FOLDER)
        try:
            for index, part in enumerate(parts):
                is_last = index == len(parts) - 1
                if is_last and flags == _FILE:
                    # Opening a device may have effects of its own: look before.
                    self._check(path, os.stat(part, dir_fd=descriptor, follow_symlinks=False))
                inner = os.open(part, flags if is_last else _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        except OSError as error:
            raise _refusal(
                path, *_REASONS.get(error.errno or 0, (os.strerror(error.errno or 0), "failed"))
            ) from None
        finally:
            os.close(descriptor)


_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOENT: ("there is no such file or folder", "not_found"),
    errno.ENOTDIR: ("a part of it is no folder, or is a symbolic link", "not_a_folder"),
    errno.ELOOP: ("it is a symbolic link; links are not followed", "path_refused"),
    errno.EACCES: ("the system does not allow it", "path_refused"),
    errno.EPERM: ("the system does not allow it", "path_refused"),
    errno.ENAMETOOLONG: ("it is too long", "path_refused"),
}


def _parts(path: str) -> list[str]:
    """The parts of a relative path; "", "." and "./" are the workspace itself."""
    if "\0" in path or len(path) > MAX_PATH_CHARS:
        raise _refusal(path[:80], f"a path has no NUL and at most {MAX_PATH_CHARS:,} characters")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise _refusal(path, "it is no valid Unicode") from None
    if path.startswith("/"):
        raise _refusal(path, "it is absolute; give a path inside the workspace, such as notes/today.txt")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise _refusal(path, "`..` is not allowed; give a path inside the workspace, such as notes/today.txt")
    return parts


def _refusal(path: str, reason: str, code: str = "path_refused") -> PathRefusedError:
    return PathRefusedError(f"{path!r} cannot be read: {reason}", code=code)


def _entry(item: os.DirEntry[str]) -> Entry:
    if item.is_dir(follow_symlinks=False):
        return Entry(_printable(item.name), "folder", 0)
    if item.is_file(follow_symlinks=False):
        with contextlib.suppress(OSError):  # gone since the folder was read
            return Entry(_printable(item.name), "file", item.stat(follow_symlinks=False).st_size)
    return Entry(_printable(item.name), "other", 0)


def _printable(name: str) -> str:
    """A file name as text: Linux allows any bytes in one."""
    return os.fsencode(name).decode(errors="replace")
