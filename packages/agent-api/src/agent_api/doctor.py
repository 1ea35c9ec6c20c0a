"""What is well with this machine and what is not, for `agent doctor`. Looks and tries; changes no run, no key, no setting."""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import anyio.to_thread
import msgspec

from agent_api import settings_checks
from agent_api.access.keys import KeyStore
from agent_api.composition import connect_model, models_path, open_skills
from agent_api.daemon import access_folder
from agent_api.errors import WrongSettingError
from agent_api.knowledge import KnowledgeBases
from agent_api.mcp.servers import PINS, McpServers, open_servers, servers_of
from agent_api.mcp.views import ServerView, server_views
from agent_api.settings import SECRETS, Origin, Settings, explain, load, unknown_variables
from agent_api.skill_names import unknown_tools
from agent_core.errors import AgentError
from agent_core.policy import Rules
from agent_core.policy import Verdict as Ruling
from agent_gateway.client import HttpChatModel
from agent_gateway.profiles import EMBEDDED
from agent_gateway.providers import PROVIDERS
from agent_gateway.weights import find_weights
from agent_memory import SqliteJournal
from agent_skills import Levels, SkillRegistry, probe
from agent_skills.mcp.client.pins import Standing
from agent_skills.mcp.client.sandboxing import confinement
from agent_skills.needs import Level

LOW_DISK_BYTES = 500_000_000
MIN_DISK_BYTES = 50_000_000
"""With less a daemon is not ready: journals could not go on."""
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""No clock that is set shows an earlier time: this package is younger."""
CLOCK_SLACK_S = 60.0
EXTRAS = {"documents": ("markitdown", "openpyxl", "pypdfium2", "trafilatura"), "code": ("tree_sitter",)}
"""Of agent-memory, by the modules that they bring."""


class Verdict(StrEnum):
    """How it is with one thing."""

    WELL = "well"
    WARNING = "warning"
    """It works, and somebody should know."""
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one thing."""

    check: str
    verdict: Verdict
    detail: str
    """What was found, and what to do where it is not well; never a secret."""


async def examine(overrides: Mapping[str, object] | None = None) -> AsyncGenerator[Finding]:
    """Look at everything, one thing after another; what cannot be looked at is a finding too.

    Args:
        overrides: Settings of the command line, as `settings.load` takes them.
    """
    origins: Sequence[Origin] = ()
    try:
        settings = load(overrides)
    except AgentError as error:
        yield _wrong("settings", str(error))
        settings = None
    if settings is not None:
        origins = explain(overrides)
        for check in (*_settings(settings, origins), _data_folder(settings), _keys(settings)):
            yield check
        async for finding in _journals(settings):
            yield finding
        if settings.knowledge_at:
            yield await _knowledge(settings)
        yield await _model(settings)
    yield _secrets(overrides if settings is not None else None, readable=settings is not None)
    levels = await probe()
    for finding in _isolation(levels):
        yield finding
    if settings is not None:
        yield _policy(settings.policy)
        yield await _skills(settings, levels, origins)
        async for finding in _servers(settings, levels, origins):
            yield finding
    yield _documents()
    yield _clock()


def _well(check: str, detail: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WELL, detail=detail)


def _warning(check: str, detail: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARNING, detail=detail)


def _wrong(check: str, detail: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WRONG, detail=detail)


# ── what was set ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _settings(settings: Settings, origins: Sequence[Origin]) -> Iterator[Finding]:
    chosen = [f"{one.name} ({one.origin})" for one in origins if one.origin != "default"]
    yield _well("settings", f"set: {', '.join(chosen)}" if chosen else "all are defaults")
    for name in unknown_variables():
        yield _warning("settings", f"the variable {name} is no setting, and is not looked at")
    for wrong in settings_checks.wrong(settings, origins):
        yield _wrong("settings", str(wrong))


def _secrets(overrides: Mapping[str, object] | None, *, readable: bool) -> Finding:
    """Every process that is started inherits the environment, and crash reports print it."""
    exposed = [key for one in PROVIDERS.values() for key in one.key_names if os.environ.get(key)]
    exposed += [
        f"AGENT_{name.upper()}" for name in sorted(SECRETS) if os.environ.get(f"AGENT_{name.upper()}")
    ]
    if exposed:
        return _warning(
            "secrets",
            f"{', '.join(dict.fromkeys(exposed))} in the environment: every process that is started sees it; a systemd "
            "credential (LoadCredential=agent_api_key) is read by the daemon alone",
        )
    origins = [one for one in explain(overrides) if one.name in SECRETS and one.value] if readable else []
    for one in origins:
        path = Path(one.origin)
        if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return _warning("secrets", f"others may read {path}, and {one.name} is in it: chmod 600 {path}")
    return _well("secrets", "none in the environment")


# ── what is on the disk ──────────────────────────────────────────────────────────────────────────────────────────────


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data_path()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return _wrong("data folder", f"{there} is no folder; set another with --data-dir")
    if not os.access(there, os.W_OK | os.X_OK):
        return _wrong("data folder", f"{there} cannot be written; set another with --data-dir")
    free = shutil.disk_usage(there).free
    detail = f"{folder}, {free / 1e9:,.1f} GB free" + ("" if there == folder else "; it is made when needed")
    if free < MIN_DISK_BYTES:
        return _wrong("data folder", f"{detail}: journals cannot go on; make room")
    if free < LOW_DISK_BYTES:
        return _warning("data folder", f"{detail}: that is little")
    if there == folder and folder.stat().st_mode & stat.S_IWOTH:
        return _wrong("data folder", f"everybody may write to {folder}: chmod 700 {folder}")
    return _well("data folder", detail)


def _keys(settings: Settings) -> Finding:
    folder = access_folder(settings.data_path())
    path = folder / "keys.db"
    if not path.is_file():
        return _well("keys", "none yet: the daemon's first start makes one and prints it")
    open_to_others = [one for one in folder.iterdir() if one.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_to_others and folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return _wrong("keys", f"others may read {open_to_others[0]}: chmod -R go= {folder}")
    try:
        with closing(KeyStore(folder)) as store:
            keys = list(store.all(tenant=None))
    except (AgentError, OSError) as error:
        return _wrong("keys", str(error))
    valid = sum(key.is_valid(time.time()) for key in keys)
    if keys and not valid:
        return _warning("keys", f"none of {len(keys)} is valid: `agent keys create` makes one")
    return _well("keys", f"{valid} of {len(keys)} valid")


async def _journals(settings: Settings) -> AsyncGenerator[Finding]:
    data_path = settings.data_path()
    paths = [data_path / "journal.db", *sorted(data_path.glob("tenants/*/journal.db"))]
    there = [path for path in paths if path.is_file()]
    if not there:
        yield _well("journal", "none yet: the first run makes it")
    for path in there:
        name = "journal" if path.parent == data_path else f"journal of {path.parent.name}"
        yield await _journal(name, path)


async def _journal(name: str, path: Path) -> Finding:
    try:
        async with await SqliteJournal.open(path) as journal:
            found = await journal.check()
            latest = [head.last.event.at async for head in journal.heads(limit=1)] if found.is_sound else []
    except AgentError as error:
        return _wrong(name, str(error))
    if not found.is_sound:
        return _wrong(name, f"{path}: {found.problems[0]}" + (" …" if len(found.problems) > 1 else ""))
    if latest and latest[0] > time.time() + CLOCK_SLACK_S:
        return _wrong(name, "its newest event is in the future: the clock was, or is, set wrong")
    return _well(name, f"{found.runs:,} runs, {found.events:,} events, all sound")


async def _knowledge(settings: Settings) -> Finding:
    """An object storage is asked for what is there, as the command line's tenant."""
    where = settings.knowledge_at
    try:
        async with aclosing(KnowledgeBases(settings.data_path(), at=where)) as knowledge:
            if "://" in where:
                return _well("knowledge", f"{where}, {len(await knowledge.bases())} bases")
    except AgentError as error:
        return _wrong("knowledge", str(error))
    there = next(path for path in (Path(where), *Path(where).parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return _wrong("knowledge", f"{there} cannot be written; set another place as knowledge_at")
    return _well("knowledge", where)


# ── what runs are made with ──────────────────────────────────────────────────────────────────────────────────────────


async def _model(settings: Settings) -> Finding:
    try:
        model = connect_model(settings)
    except AgentError as error:
        return _wrong("model", str(error))
    async with model:
        name = settings.model.removeprefix("local:")
        if name in EMBEDDED and find_weights(models_path(settings), name=name) is None:
            return _wrong("model", f"the weights of {name} are not here: agent models pull")
        if name in EMBEDDED:
            return _well("model", f"{settings.model}, its weights are here")
        remote = isinstance(model, HttpChatModel)
        return _well("model", settings.model + (", not asked: it is elsewhere" if remote else ""))


def _isolation(levels: Levels) -> Iterator[Finding]:
    ways = [one for one in levels.reports if one.available]
    yield _well("isolation", ", ".join(f"{one.level.name.lower()} ({one.mechanism})" for one in ways))
    reason = levels.missing(Level.SANDBOX)
    if reason:
        yield _warning("sandbox", f"none, so skills that need one are left out: {reason}")
    else:
        first = next(one for one in ways if one.level is Level.SANDBOX)
        yield _well("sandbox", first.mechanism)


def _policy(rules: Rules) -> Finding:
    """Guards that were taken away are named: without one, what a web page says may decide."""
    usual = Rules()
    guards = [name for name in rules.__struct_fields__ if getattr(usual, name) is Ruling.ASK]
    gone = [name for name in guards if getattr(rules, name) is Ruling.ALLOW]
    if gone:
        return _warning("policy", f"nobody is asked any more about: {', '.join(gone)}")
    own = [f"{name} {verdict}" for name, verdict in rules.tools.items()]
    own += [
        f"{name} {getattr(rules, name)}"
        for name in rules.__struct_fields__
        if name != "tools" and getattr(rules, name) is not getattr(usual, name)
    ]
    return _well("policy", f"set: {', '.join(own)}" if own else "the usual rules")


async def _skills(settings: Settings, levels: Levels, origins: Sequence[Origin]) -> Finding:
    try:
        skills = await anyio.to_thread.run_sync(open_skills, settings, levels)
    except WrongSettingError as error:
        return _wrong("plugins", str(settings_checks.located(error, origins)))
    except AgentError as error:
        return _wrong("plugins", str(error))
    async with aclosing(skills):
        if skills.broken:
            reasons = "; ".join(f"{one.entry.name}: {one.reason}" for one in skills.broken)
            return _wrong("plugins", f"left out: {reasons}")
        found = [*settings_checks.gaps_of_skills(settings, skills, levels)]
        if found:
            return _warning("plugins", "; ".join(found))
        count, loaded = sum(1 for _ in skills.listed()), len(skills.loaded)
        out = f"; left out: {', '.join(skills.registry.left_out)}" if skills.registry.left_out else ""
        plugins = f"{loaded} of {len(skills.plugins)} installed plugins loaded, none broken"
        return _well("plugins", f"{count} skills, {plugins}{out}")


async def _servers(settings: Settings, levels: Levels, origins: Sequence[Origin]) -> AsyncGenerator[Finding]:
    """Each MCP server is spoken to; what is approved stays as it is."""
    try:
        servers = servers_of(settings.mcp)
    except WrongSettingError as error:
        yield _wrong("mcp", str(settings_checks.located(error, origins)))
        return
    with tempfile.TemporaryDirectory(prefix="agent-doctor-") as folder:
        pins = Path(folder) / PINS
        try:
            shutil.copyfile(settings.data_path() / PINS, pins)
        except (FileNotFoundError, NotADirectoryError):
            pass  # nothing was approved yet
        except OSError as error:
            yield _wrong("mcp", f"{settings.data_path() / PINS} cannot be read: {error.strerror}")
            return
        trust = settings.mcp.trust_first_use
        async with open_servers(
            servers,
            SkillRegistry(),
            settings.data_path(),
            levels=levels,
            trust_first_use=trust,
            pins_path=pins,
        ) as opened:
            if opened.problem:
                yield _wrong("mcp", opened.problem)
                return
            for view, one in zip(server_views(opened), servers, strict=True):
                yield _server(view, confinement(one, levels))
            for gap in unknown_tools(settings, opened):
                yield _warning("mcp", gap)
            yield await _offer(settings, levels, opened)


async def _offer(settings: Settings, levels: Levels, servers: McpServers) -> Finding:
    """How many tools a run's model is offered at once: those of skills, and those of MCP servers that are there."""
    try:
        mode = connect_model(settings).profile.tool_mode
        skills = await anyio.to_thread.run_sync(partial(open_skills, settings, levels, tool_mode=mode))
    except AgentError:  # told of the model or the plugins
        return _warning("offer", "not known, as something before is wrong")
    async with aclosing(skills):
        tools = sum(bool(tool.skill) for view in server_views(servers) for tool in view.tools)
        return _well("offer", skills.how_offered(tools))


def _server(view: ServerView, where: str) -> Finding:
    name = f"mcp {view.name}"
    waiting = [tool.name for tool in view.tools if tool.standing is not Standing.APPROVED]
    if view.problem:
        return _wrong(name, f"{view.problem}; {where}")
    if waiting:
        return _warning(name, f"{', '.join(waiting)} wait to be approved: agent skills servers; {where}")
    return _well(name, f"{len(view.tools)} tools; {where}")


def _documents() -> Finding:
    missing = [name for name, modules in EXTRAS.items() if any(find_spec(one) is None for one in modules)]
    read = "Markdown, text, CSV and JSON are read"
    if not missing:
        return _well("documents", f"{read}, so are PDF, office files, HTML and symbols of code")
    what = {"documents": "PDF, office files and HTML", "code": "symbols of code"}
    more = "; ".join(f"{what[name]} need pip install 'agent-memory[{name}]'" for name in missing)
    return _well("documents", f"{read}; {more}")


def _clock() -> Finding:
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    if now < EARLIEST:
        return _wrong("clock", f"it shows {shown}, which is past: set it, for keys expire by it")
    return _well("clock", shown)
