"""Finds plugins by the entry point group `agent.skills`. Nothing is imported, and folders that did not change are not read.

`importlib.metadata` would do, but it takes longer to import than all the rest of a start; what it does for us is to look
for `*.dist-info/entry_points.txt` in the folders of the path. `plugins` registers what is found here.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent_skills.plugin_index import PluginEntry, PluginIndex

GROUP = "agent.skills"
_SUFFIXES = (".dist-info", ".egg-info")


def find_plugins(
    path: Sequence[str] | None = None, *, index: PluginIndex | None = None
) -> tuple[PluginEntry, ...]:
    """The plugins that are installed, sorted by name. `path` stands for `sys.path`; `index` remembers what was found."""
    found: list[PluginEntry] = []
    for folder in dict.fromkeys(sys.path if path is None else path):
        seen = {entry.distribution.partition(" ")[0] for entry in found}
        # What is found later on the path is shadowed, as it is for imports.
        found += (
            entry
            for entry in _in_folder(folder or ".", index)
            if entry.distribution.partition(" ")[0] not in seen
        )
    if index is not None:
        index.save()
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.distribution)))


def _in_folder(folder: str, index: PluginIndex | None) -> tuple[PluginEntry, ...]:
    known = index.entries(folder) if index is not None else None
    if known is not None:
        return known
    entries: list[PluginEntry] = []
    files: list[str] = []
    for info in _infos(folder):
        text = _text(info, "entry_points.txt")
        if GROUP not in text:
            continue
        entries += _entries(info, text)
        files.append(str(info / "entry_points.txt"))
    if index is not None:
        index.remember_entries(folder, tuple(entries), files)
    return tuple(entries)


def _infos(folder: str) -> list[Path]:
    try:
        with os.scandir(folder) as children:
            names = sorted(child.name for child in children if child.name.endswith(_SUFFIXES))
    except OSError:
        return []
    return [Path(folder) / name for name in names]


def _entries(info: Path, text: str) -> Iterator[PluginEntry]:
    distribution = _distribution(info)
    is_ours = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            is_ours = stripped == f"[{GROUP}]"
        elif is_ours and stripped and not stripped.startswith(("#", ";")):
            name, equals, target = (part.strip() for part in stripped.partition("="))
            if not (name and equals and target):
                problem = f"its entry_points.txt cannot be read at {stripped[:80]!r}"
                named = distribution.partition(" ")[0]
                yield PluginEntry(name=named, target="", distribution=distribution, problem=problem)
                continue
            # Extras behind the target, `module [extra]`, are of old times and mean nothing to us.
            yield PluginEntry(name=name, target=target.partition("[")[0].strip(), distribution=distribution)


def _distribution(info: Path) -> str:
    text = _text(info, "METADATA") or _text(info, "PKG-INFO")
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line:
            break  # the description follows
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.lower(), value.strip())
    return f"{fields.get('name', 'unknown')} {fields.get('version', 'unknown')}"


def _text(info: Path, name: str) -> str:
    try:
        return (info / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
