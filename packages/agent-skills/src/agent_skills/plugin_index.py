"""What is known of installed plugins, kept in a file: which there are, and what each brings. Valid as long as nothing changed.

Keyed by path and time of change. A cache: it may be deleted at any time, and one that cannot be read counts as empty.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from agent_skills.manifest import VERSION, PluginManifest

Stamps = Mapping[str, int]
"""Files and folders, each with the time of its last change in nanoseconds; -1: it was not there."""


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An installed plugin, not imported."""

    name: str
    """The name of the entry point: what allow and deny lists hold."""
    target: str
    """`module` or `module:attribute`."""
    distribution: str
    """Name and version of the package that brings it."""
    problem: str = ""
    """Why it cannot be loaded, where the metadata already say so."""


class _Folder(msgspec.Struct, frozen=True):
    stamps: Stamps
    entries: tuple[PluginEntry, ...]


class _Known(msgspec.Struct, frozen=True):
    stamps: Stamps
    manifest: PluginManifest


class _Kept(msgspec.Struct, kw_only=True):
    version: str
    folders: dict[str, _Folder] = {}
    plugins: dict[str, _Known] = {}


class PluginIndex:
    """The index in one file. Not for several threads at once; several processes may share the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept = _read(file)
        self._changed = False

    @classmethod
    def of_this_machine(cls) -> "PluginIndex":
        """The one in the cache folder of the service (`$CACHE_DIRECTORY`) or of the user, for this environment."""
        own = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
        home = Path(own or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        digest = hashlib.sha256(sys.prefix.encode()).hexdigest()[:16]
        return cls(home / "agent-skills" / f"plugins-{digest}.json")

    def entries(self, folder: str) -> tuple[PluginEntry, ...] | None:
        """The plugins that are installed in a folder, as far as nothing changed there; None: look."""
        known = self._kept.folders.get(folder)
        return known.entries if known is not None and _holds(known.stamps) else None

    def remember_entries(
        self, folder: str, entries: tuple[PluginEntry, ...], files: Sequence[str] = ()
    ) -> None:
        """Keep what was found in a folder; `files` are those in it that said so."""
        self._kept.folders[folder] = _Folder(stamps_of((folder, *files)), entries)
        self._changed = True

    def manifest(self, entry: PluginEntry) -> PluginManifest | None:
        """What a plugin brings, as far as its code did not change; None: load it."""
        known = self._kept.plugins.get(_key(entry))
        return known.manifest if known is not None and _holds(known.stamps) else None

    def remember_manifest(self, entry: PluginEntry, manifest: PluginManifest, files: Sequence[str]) -> None:
        """Keep what a plugin brings; `files` are those that hold its code."""
        self._kept.plugins[_key(entry)] = _Known(stamps_of(files), manifest)
        self._changed = True

    def forget(self, entry: PluginEntry) -> None:
        """Drop what is known of a plugin."""
        self._changed |= self._kept.plugins.pop(_key(entry), None) is not None

    def save(self) -> None:
        """Write the file if anything changed; a folder that cannot be written to is no failure, only slow next time."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix=self._file.name)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(self._kept))
            Path(name).replace(self._file)
            self._changed = False


def stamps_of(files: Sequence[str]) -> dict[str, int]:
    """When each was changed last."""
    return {file: _changed_ns(file) for file in files}


def _holds(stamps: Stamps) -> bool:
    return all(_changed_ns(file) == changed_ns for file, changed_ns in stamps.items())


def _changed_ns(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - a Path takes longer to make than the call
    except OSError:
        return -1


def _key(entry: PluginEntry) -> str:
    return f"{entry.name} {entry.target} {entry.distribution}"


def _version() -> str:
    """What else the index depends on."""
    return f"{VERSION} {sys.implementation.cache_tag}"


def _read(file: Path) -> _Kept:
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return _Kept(version=_version())
    return kept if kept.version == _version() else _Kept(version=_version())
