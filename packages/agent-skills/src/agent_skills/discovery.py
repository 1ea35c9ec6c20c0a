"""Finds plugins by the entry point group `agent.skills` and registers them. A broken plugin is named and skipped.

Two steps with a seam between them: `find_plugins` reads metadata and imports nothing, `load_plugins` imports. pluggy's
own loader does both at once, and one plugin that does not import ends the host.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions

import msgspec

from agent_skills.errors import PluginRefusedError
from agent_skills.registry import SkillRegistry, reason_of

GROUP = "agent.skills"

logger = logging.getLogger(__name__)


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An installed plugin, not imported."""

    name: str
    """The name of the entry point: what allow and deny lists hold."""
    target: str
    """`module` or `module:attribute`."""
    distribution: str
    """Name and version of the package that brings it."""
    problem: str = ""
    """Why it cannot be loaded, where the metadata already say so."""


class PluginState(StrEnum):
    """What became of a plugin."""

    LOADED = "loaded"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"


class PluginStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one plugin, and why."""

    entry: PluginEntry
    state: PluginState
    reason: str = ""
    skills: tuple[str, ...] = ()
    load_s: float = 0.0
    """Seconds that its import and its hook took."""


def find_plugins(path: Sequence[str] | None = None) -> tuple[PluginEntry, ...]:
    """The plugins that are installed, sorted by name; nothing is imported. `path` stands for `sys.path`."""
    found: list[PluginEntry] = []
    seen: set[str] = set()
    for distribution in distributions() if path is None else distributions(path=list(path)):
        entries = tuple(_entries(distribution))
        if not entries:
            continue
        name = _named(distribution)
        if name not in seen:  # what is found later on the path is shadowed, as it is for imports
            seen.add(name)
            found += entries
    return tuple(sorted(found, key=lambda entry: (entry.name, entry.distribution)))


def _entries(distribution: Distribution) -> Iterator[PluginEntry]:
    try:
        points = [point for point in distribution.entry_points if point.group == GROUP]
    except (ValueError, TypeError, OSError) as error:
        if GROUP in (distribution.read_text("entry_points.txt") or ""):
            origin, problem = (
                _origin(distribution),
                f"its entry_points.txt cannot be read ({type(error).__name__})",
            )
            yield PluginEntry(name=_named(distribution), target="", distribution=origin, problem=problem)
        return
    for point in points:
        yield PluginEntry(name=point.name, target=point.value, distribution=_origin(distribution))


def _origin(distribution: Distribution) -> str:
    return f"{_named(distribution)} {_metadata(distribution, 'Version')}"


def _named(distribution: Distribution) -> str:
    return _metadata(distribution, "Name")


def _metadata(distribution: Distribution, field: str) -> str:
    # Not `distribution.name`: what it does where METADATA is missing changes from one Python to the next.
    lines = (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or "").splitlines()
    found = (line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{field.lower()}:"))
    return next(found, "unknown")


def load_plugins(
    registry: SkillRegistry,
    entries: Iterable[PluginEntry],
    *,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    strict: bool = False,
) -> tuple[PluginStatus, ...]:
    """Import and register plugins one by one; what became of each, in the same order.

    Args:
        registry: where the plugins go.
        entries: from `find_plugins`.
        allow: names of the plugins that may be loaded; None allows all.
        deny: names of plugins that may not; it wins over `allow`.
        strict: raise for the first plugin that is broken, as is right in tests and on a developer's machine.

    Raises:
        PluginRefusedError: `strict` is set and a plugin is broken.
    """
    report: list[PluginStatus] = []
    for entry in entries:
        if entry.name in deny or (allow is not None and entry.name not in allow):
            reason = "denied" if entry.name in deny else "not on the allow list"
            report.append(PluginStatus(entry=entry, state=PluginState.SKIPPED, reason=reason))
            continue
        status = _load(registry, entry)
        if status.state is PluginState.QUARANTINED:
            if strict:
                raise PluginRefusedError(entry.name, status.reason)
            logger.warning("plugin %s (%s) is left out: %s", entry.name, entry.distribution, status.reason)
        report.append(status)
    return tuple(report)


def _load(registry: SkillRegistry, entry: PluginEntry) -> PluginStatus:
    started = time.perf_counter()
    reason = entry.problem
    skills: tuple[str, ...] = ()
    if not reason:
        try:
            plugin = EntryPoint(name=entry.name, value=entry.target, group=GROUP).load()
            skills = registry.register(entry.name, plugin)
        except PluginRefusedError as error:
            reason = error.reason
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
            reason = f"its import failed: {reason_of(error)}"
    return PluginStatus(
        entry=entry,
        state=PluginState.QUARANTINED if reason else PluginState.LOADED,
        reason=reason,
        skills=skills,
        load_s=time.perf_counter() - started,
    )
