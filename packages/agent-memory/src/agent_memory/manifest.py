"""What an export says of itself: which files it has, of which form, and what is told of a domain beside its rows."""

from pathlib import Path

import msgspec

from agent_memory.errors import ImportFormatError
from agent_memory.knowledge.domains import Domain
from agent_memory.table_files import Format

VERSION = 2
"""1 had no knowledge bases; it is still read."""
_FILE = "manifest.json"


class ExportedDomain(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of a domain of knowledge."""

    domain: Domain
    """Its settings."""
    embedder: str
    """What made the vectors."""
    dimensions: int
    """Of each vector."""
    format: str
    """Of the rows, as agent-memory counts them."""
    rows: int
    version: str = ""
    """The name of the newest version that has one."""
    version_made_at: float = 0.0
    """Seconds since the epoch."""

    @property
    def file(self) -> str:
        """The file of its rows, without its ending."""
        return f"knowledge.{self.domain.name}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds."""

    version: int = VERSION
    format: Format
    rows: dict[str, int]
    """By file, without its ending."""
    knowledge: tuple[ExportedDomain, ...] = ()


def with_knowledge(form: Format, rows: dict[str, int], knowledge: tuple[ExportedDomain, ...]) -> Manifest:
    """The manifest of an export of these files and domains."""
    return Manifest(format=form, rows=rows | {one.file: one.rows for one in knowledge}, knowledge=knowledge)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Say that the export in a folder is whole: the last of its files.

    Raises:
        OSError: it cannot be written.
    """
    (folder / _FILE).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def manifest_of(folder: Path) -> Manifest:
    """What an export holds.

    Raises:
        ImportFormatError: there is none, it is of a newer version, or a file is missing.
    """
    try:
        told = (folder / _FILE).read_bytes()
        version = msgspec.json.decode(told, type=_Version).version
        if version > VERSION:
            raise ImportFormatError(str(folder), f"it is of version {version}; upgrade agent-memory")
        manifest = msgspec.json.decode(told, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise ImportFormatError(str(folder), f"its {_FILE} cannot be read: {error}") from error
    missing = [name for name in manifest.rows if not (folder / f"{name}.{manifest.format}").is_file()]
    if missing:
        raise ImportFormatError(str(folder), f"files are missing: {', '.join(sorted(missing))}")
    return manifest


class _Version(msgspec.Struct):
    """Read first: what a newer version says may not fit a manifest of this one."""

    version: int
