"""The composition root: every adapter is built here, once, in order, and closed in the reverse order."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agent_api.access.keys import DEFAULT_TENANT
from agent_api.builtin_skills import programs_of, register_chosen, snippets_of
from agent_api.errors import WrongSettingError
from agent_api.grants import grants_of
from agent_api.knowledge import KnowledgeBases
from agent_api.mcp.servers import McpServers, open_servers, servers_of
from agent_api.memory import Notes, open_memory, proven_by
from agent_api.ownership import Ownership
from agent_api.settings import Settings
from agent_api.skills import Skills
from agent_core.chat import ToolMode
from agent_core.errors import ModelError
from agent_core.ports import ChatModel, Memory, Observer
from agent_core.runner import Runner
from agent_gateway.catalog import connect
from agent_gateway.client import HttpChatModel
from agent_gateway.engines.llama_cpp import LlamaCppModel
from agent_gateway.engines.local import LocalModel
from agent_gateway.weights import OnProgress
from agent_memory import LongTermMemory, RecallingMemory, SessionMemory, SqliteJournal
from agent_skills import (
    Levels,
    PluginIndex,
    PluginStatus,
    SkillRegistry,
    SkillRunner,
    find_plugins,
    load_plugins,
    probe,
)
from agent_skills.builtin import BuiltinParts, MemoryPlugin
from agent_skills.offers import RouterFactory
from agent_skills.policy import Grants
from agent_skills.routing import SimilarityRouter
from agent_skills.tool_search import FINDER, FinderPlugin, Learned, some_of_many

if TYPE_CHECKING:
    from agent_memory import TenantMemory


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is open while the daemon or one command runs."""

    settings: Settings
    data_path: Path
    ownership: Ownership
    journal: SqliteJournal
    model: ChatModel
    skills: Skills
    runner: Runner
    knowledge: KnowledgeBases
    servers: McpServers = msgspec.field(default_factory=McpServers)
    """The MCP servers whose tools are among the skills."""
    memory: "TenantMemory | None" = None
    """What is kept beyond a session; None: the setting `long_term` is off."""
    windows: SessionMemory | None = None
    """The conversations that are held in memory."""


def models_path(settings: Settings) -> Path:
    """Where weights are kept."""
    return settings.data_path() / "models"


@asynccontextmanager
async def open_journal(settings: Settings) -> AsyncGenerator[SqliteJournal]:
    """The journal alone, for looking at runs.

    Raises:
        JournalUnavailableError: it cannot be opened.
    """
    async with await SqliteJournal.open(settings.data_path() / "journal.db") as journal:
        yield journal


def open_skills(
    settings: Settings,
    levels: Levels | None = None,
    *,
    knowledge: KnowledgeBases | None = None,
    long_term: LongTermMemory | None = None,
    tool_mode: ToolMode = ToolMode.ROUTED,
    learned: Learned | None = None,
) -> Skills:
    """The built-in skills, and those of installed plugins.

    Args:
        settings: The settings.
        levels: What `probe` found on this machine.
        knowledge: What `knowledge_search` searches, where the settings want it; else that of the data folder.
        long_term: What `remember` and `recall` ask, where the settings want them; None: they can be listed alone.
        tool_mode: How the model is offered them.
        learned: What a memory knows of tools that served requests, for where there are too many to offer all.

    Raises:
        SettingsError: the workspace is no folder, something that is granted to a plugin cannot be, or a built-in skill cannot.
    """
    workspace = Path(settings.workspace or ".").expanduser().absolute()
    if not workspace.is_dir():
        raise WrongSettingError("workspace", f"{workspace} is no folder; set another with --workspace")
    is_native = tool_mode is ToolMode.NATIVE
    allow = settings.skills.allow
    if allow is not None and is_native:
        allow = (*allow, FINDER)
    registry = SkillRegistry(
        missing=levels.missing if levels else None, allow=allow, deny=settings.skills.deny
    )
    parts = _parts(settings, levels, knowledge, long_term)
    register_chosen(registry, settings, workspace, parts)
    plugins, grants = _load_plugins(settings, registry)
    router: RouterFactory = SimilarityRouter
    if is_native:
        registry.register("tool_search", FinderPlugin(registry))
        most = settings.skills.most_offered
        router = partial(some_of_many, most=most, offered=most // 2, learned=learned)
    runner = SkillRunner(registry, router=router, levels=levels, grants=grants)
    return Skills(
        registry=registry,
        runner=runner,
        plugins=plugins,
        grants=grants,
        snippets=parts.snippets,
        tool_mode=tool_mode,
        most_offered=settings.skills.most_offered,
    )


def _load_plugins(settings: Settings, registry: SkillRegistry) -> tuple[Sequence[PluginStatus], Grants]:
    chosen = settings.loaded_plugins()
    if chosen is None:
        return (), Grants()
    index = PluginIndex(settings.data_path() / "plugins.json")
    entries = find_plugins(index=index)
    grants = grants_of(chosen, {entry.name for entry in entries})
    loaded = load_plugins(
        registry, entries, allow=chosen.allow, deny=chosen.deny, trust=chosen.trust, index=index
    )
    return loaded, grants


def _parts(
    settings: Settings,
    levels: Levels | None,
    knowledge: KnowledgeBases | None,
    long_term: LongTermMemory | None,
) -> BuiltinParts:
    notes = Notes(long_term)
    return BuiltinParts(
        programs=programs_of(settings.builtin, levels),
        snippets=snippets_of(settings),
        knowledge=knowledge or _own_knowledge(settings) if settings.knowledge else None,
        memory=MemoryPlugin(notes.remember, notes.recall) if settings.long_term else None,
    )


def _own_knowledge(settings: Settings) -> KnowledgeBases:
    return KnowledgeBases(settings.data_path(), at=settings.knowledge_at)


def tenant_servers(
    settings: Settings, registry: SkillRegistry, levels: Levels | None, tenant: str = DEFAULT_TENANT
) -> AbstractAsyncContextManager[McpServers]:
    """The MCP servers that the settings give to a tenant, mounted while the block lasts.

    Raises:
        SettingsError: what is set of one cannot be.
    """
    return open_servers(
        servers_of(settings.mcp, tenant),
        registry,
        settings.data_path(),
        levels=levels,
        trust_first_use=settings.mcp.trust_first_use,
    )


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What all tenants share: the model, and what this machine can isolate."""

    settings: Settings
    model: ChatModel
    levels: Levels
    observers: Sequence[Observer] = ()


def connect_model(
    settings: Settings, *, on_progress: OnProgress | None = None
) -> "LocalModel | HttpChatModel":
    """The model of the settings; nothing is loaded or asked before its first use.

    Raises:
        AgentError: a setting is wrong.
    """
    if settings.base_url and not settings.base_url.startswith(("http://", "https://")):
        raise WrongSettingError(
            "base_url", f"{settings.base_url!r} is no address: it begins with http:// or https://"
        )
    return connect(
        settings.model,
        base_url=settings.base_url or None,
        api_key=settings.api_key or None,
        api_key_setting="AGENT_API_KEY (or the systemd credential agent_api_key)",
        models_folder=models_path(settings),
        on_progress=on_progress,
    )


@asynccontextmanager
async def open_machine(
    settings: Settings, *, on_progress: OnProgress | None = None
) -> AsyncGenerator[Machine]:
    """What all tenants share; the model is loaded at its first use.

    Args:
        settings: The settings.
        on_progress: Told in words what a slow step is doing, in the thread that does it.

    Raises:
        AgentError: a setting is wrong.
    """
    levels = await probe()
    model = connect_model(settings, on_progress=on_progress)
    async with model:
        if isinstance(model, HttpChatModel) and settings.base_url:
            with suppress(ModelError):  # who cannot be asked now says so again when the run asks
                await model.discover()
        observers = (open_telemetry(),) if settings.telemetry else ()
        yield Machine(settings=settings, model=model, levels=levels, observers=observers)


def open_telemetry() -> Observer:
    """What tells OpenTelemetry of runs, by OTLP over HTTP to where `OTEL_EXPORTER_OTLP_ENDPOINT` says.

    Raises:
        SettingsError: the extra is not installed.
    """
    try:
        from agent_api.telemetry import telemetry_observer  # noqa: PLC0415  # an extra, and slow to import
    except ImportError as error:
        reason = "it needs the extra: pip install 'agent-api[otel]', or set it to false"
        raise WrongSettingError("telemetry", reason) from error
    return telemetry_observer()


@asynccontextmanager
async def open_tenant(
    machine: Machine,
    data_path: Path,
    workspace: str,
    *,
    tenant: str = DEFAULT_TENANT,
    observers: Sequence[Observer] = (),
) -> AsyncGenerator[Agent]:
    """Everything of one tenant, over files of its own in `data_path`; `observers` watch every run of it.

    Raises:
        AgentError: the workspace is no folder, or the journal cannot be opened.
    """
    settings = msgspec.structs.replace(machine.settings, data_dir=str(data_path), workspace=workspace)
    roots = (Path(workspace),) if workspace else ()
    knowledge = KnowledgeBases(data_path, roots=roots, at=settings.knowledge_at, tenant=tenant)
    async with aclosing(knowledge), AsyncExitStack() as stack:
        kept = await stack.enter_async_context(open_memory(data_path)) if settings.long_term else None
        long_term = kept.long_term if kept else None
        skills = open_skills(
            settings,
            machine.levels,
            knowledge=knowledge,
            long_term=long_term,
            tool_mode=machine.model.profile.tool_mode,
            learned=proven_by(kept.skills) if kept else None,
        )
        await stack.enter_async_context(aclosing(skills))
        servers = await stack.enter_async_context(
            tenant_servers(settings, skills.registry, machine.levels, tenant)
        )
        journal = await stack.enter_async_context(open_journal(settings))
        ownership = stack.enter_context(Ownership(data_path))
        session = SessionMemory(journal, model=machine.model.profile.name)
        memory = RecallingMemory(session, long_term) if long_term else session
        yield Agent(
            settings=settings,
            data_path=data_path,
            ownership=ownership,
            journal=journal,
            model=machine.model,
            skills=skills,
            runner=_runner(machine, skills.runner, memory, journal, observers),
            knowledge=knowledge,
            servers=servers,
            memory=kept,
            windows=session,
        )


def _runner(
    machine: Machine,
    tools: SkillRunner,
    memory: Memory,
    journal: SqliteJournal,
    observers: Sequence[Observer],
) -> Runner:
    return Runner(
        model=machine.model,
        tools=tools,
        memory=memory,
        journal=journal,
        policy=machine.settings.policy,
        snapshots=journal,
        planning=machine.settings.planning,
        observers=(*machine.observers, *observers),
        escalate=False,  # nobody may be there: a run that goes in circles ends with what it has
    )


@asynccontextmanager
async def open_agent(settings: Settings, *, on_progress: OnProgress | None = None) -> AsyncGenerator[Agent]:
    """Everything for one person on one machine: the tenant whose files lie in the data folder itself.

    Raises:
        AgentError: a setting is wrong, or the journal cannot be opened.
    """
    async with (
        open_machine(settings, on_progress=on_progress) as machine,
        open_tenant(machine, settings.data_path(), settings.workspace) as agent,
    ):
        yield agent


async def load_model(machine: Machine) -> None:
    """Load a local model now: it holds everything up while it loads, so a daemon does it before it listens.

    Raises:
        ModelError: it cannot be loaded; the daemon runs all the same, and each run says why it does not go on.
    """
    if isinstance(machine.model, LlamaCppModel):
        await machine.model.load()
