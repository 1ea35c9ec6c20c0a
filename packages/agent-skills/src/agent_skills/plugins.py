"""Registers installed plugins, one by one. A broken plugin is named and left out, and nothing of it stays behind.

A plugin runs in a worker process unless the operator trusts it, so its code is never imported here: its skills are known
from its manifest, which a worker made when the plugin was seen first. One that is trusted is imported.
"""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import anyio.to_thread
import msgspec

from agent_skills.errors import PluginRefusedError, SkillError
from agent_skills.isolation.describing import describe
from agent_skills.isolation.sandbox import home_of
from agent_skills.manifest import PluginManifest, mounted
from agent_skills.plugin_index import PluginEntry, PluginIndex
from agent_skills.registry import SkillRegistry, reason_of
from agent_skills.runner import SkillRunner
from agent_skills.skill import Home

_AT_ONCE = 4

logger = logging.getLogger(__name__)


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
    """Seconds that its import and its hook took, here or in a worker; 0 where its manifest was known."""
    trusted: bool = False
    """It was imported into this process."""


def load_plugins(
    registry: SkillRegistry,
    entries: Iterable[PluginEntry],
    *,
    allow: Collection[str] | None = None,
    deny: Collection[str] = (),
    trust: Collection[str] = (),
    index: PluginIndex | None = None,
    strict: bool = False,
) -> tuple[PluginStatus, ...]:
    """Register plugins one by one; what became of each, in the same order.

    Args:
        registry: where the plugins go.
        entries: from `find_plugins`.
        allow: names of the plugins that may be loaded; None allows all.
        deny: names of plugins that may not; it wins over `allow`.
        trust: names of plugins that are imported into this process; all others run in workers.
        index: remembers what plugins bring, so that those that did not change are not loaded again.
        strict: raise for the first plugin that is broken, as is right in tests and on a developer's machine.

    Raises:
        PluginRefusedError: `strict` is set and a plugin is broken.
    """
    entries = tuple(entries)
    wanted = [entry for entry in entries if not _skipped(entry, allow, deny)]
    brought = _manifests([entry for entry in wanted if entry.name not in trust], index)
    report: list[PluginStatus] = []
    for entry in entries:
        status = _status(registry, entry, _skipped(entry, allow, deny), brought.get(_key(entry)))
        if status.state is PluginState.QUARANTINED:
            if strict:
                raise PluginRefusedError(entry.name, status.reason)
            logger.warning("plugin %s (%s) is left out: %s", entry.name, entry.distribution, status.reason)
        report.append(status)
    return tuple(report)


def _skipped(entry: PluginEntry, allow: Collection[str] | None, deny: Collection[str]) -> str:
    if entry.name in deny:
        return "denied"
    return "" if allow is None or entry.name in allow else "not on the allow list"


def _key(entry: PluginEntry) -> tuple[str, str, str]:
    return (entry.name, entry.target, entry.distribution)


def _status(
    registry: SkillRegistry, entry: PluginEntry, skipped: str, brought: "_Brought | None"
) -> PluginStatus:
    if skipped:
        return PluginStatus(entry=entry, state=PluginState.SKIPPED, reason=skipped)
    started = time.perf_counter()
    reason = entry.problem
    skills: tuple[str, ...] = ()
    if not reason:
        try:
            skills = _register(registry, entry, brought)
        except PluginRefusedError as error:
            reason = error.reason
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
            reason = f"its import failed: {reason_of(error)}"
    return PluginStatus(
        entry=entry,
        state=PluginState.QUARANTINED if reason else PluginState.LOADED,
        reason=reason,
        skills=skills,
        load_s=time.perf_counter() - started if brought is None else brought.load_s,
        trusted=brought is None and not reason,
    )


def _register(registry: SkillRegistry, entry: PluginEntry, brought: "_Brought | None") -> tuple[str, ...]:
    if brought is None:
        from agent_skills.isolation.hosting import resolve  # noqa: PLC0415 - only who is trusted is imported here

        return registry.register(entry.name, resolve(entry.target))
    if brought.manifest is None:
        raise PluginRefusedError(entry.name, brought.reason)
    home = Home(entry.name, entry.target)
    return registry.mount(entry.name, mounted(brought.manifest, home))


class _Brought(msgspec.Struct, frozen=True, kw_only=True):
    manifest: PluginManifest | None
    reason: str = ""
    load_s: float = 0.0


def _manifests(
    entries: Sequence[PluginEntry], index: PluginIndex | None
) -> dict[tuple[str, str, str], _Brought]:
    """What each plugin brings: from the index, else by loading it, several at once."""
    found: dict[tuple[str, str, str], _Brought] = {}
    unknown: list[PluginEntry] = []
    for entry in entries:
        known = index.manifest(entry) if index is not None else None
        if known is not None:
            found[_key(entry)] = _Brought(manifest=known)
        elif entry.problem:
            found[_key(entry)] = _Brought(manifest=None, reason=entry.problem)
        else:
            unknown.append(entry)
    if unknown:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for entry, brought in zip(unknown, threads.map(_load, unknown), strict=True):
                found[_key(entry)] = brought
                if index is not None and brought.manifest is not None:
                    index.remember_manifest(entry, brought.manifest, code_of(entry))
        if index is not None:
            index.save()
    return found


def code_of(entry: PluginEntry) -> list[str]:
    """The files that hold a plugin's code: its module, or all of its package's."""
    try:
        _, code = home_of(entry.target.partition(":")[0])
    except (ImportError, ValueError):
        return []
    place = Path(code)
    if not place.is_dir():
        return [code]
    return [code, *(str(file) for file in sorted(place.rglob("*.py")))]


def _load(entry: PluginEntry) -> _Brought:
    started = time.perf_counter()
    try:
        manifest = describe(Home(entry.name, entry.target))
    except PluginRefusedError as error:
        return _Brought(manifest=None, reason=error.reason, load_s=time.perf_counter() - started)
    return _Brought(manifest=manifest, load_s=time.perf_counter() - started)


async def reload_plugin(runner: SkillRunner, registry: SkillRegistry, entry: PluginEntry) -> tuple[str, ...]:
    """Load the code of a plugin anew: calls that are running end on the old one, later ones begin on the new.

    For plugins that run in workers; what was imported here cannot be taken back. Returns the names of its skills.

    Raises:
        PluginRefusedError: the new code is broken; the old one stays.
        SkillError: no plugin of that name is registered, or it was imported here.
    """
    known = [registry.get(name) for name in registry.plugins.get(entry.name, ())]
    if not known or any(skill is None or skill.home is None for skill in known):
        raise SkillError(f"the plugin {entry.name!r} does not run in workers; restart to reload it")
    home = Home(entry.name, entry.target)
    manifest = await anyio.to_thread.run_sync(describe, home)
    await runner.drain(entry.name)
    return registry.mount(entry.name, mounted(manifest, home))
