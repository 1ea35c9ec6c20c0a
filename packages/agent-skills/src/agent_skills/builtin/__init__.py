"""The skills that come with the library, one file each. Each is a plugin, registered in code as any other is."""

import logging
from pathlib import Path
from typing import Literal

import msgspec

from agent_core.ports import Clock, KnowledgeBase
from agent_core.system import SystemClock
from agent_skills.builtin.ask_person import AskPersonPlugin
from agent_skills.builtin.calculator import CalculatorPlugin
from agent_skills.builtin.clock import ClockPlugin
from agent_skills.builtin.code_mode import CodeModePlugin
from agent_skills.builtin.fetch import FetchPlugin
from agent_skills.builtin.files import FilesPlugin
from agent_skills.builtin.http_api import HttpApiAuth, HttpApiPlugin, HttpApiSettings
from agent_skills.builtin.knowledge import KnowledgePlugin
from agent_skills.builtin.memory import MemoryPlugin
from agent_skills.builtin.python import PythonPlugin, SnippetsPlugin
from agent_skills.builtin.shell import ShellPlugin
from agent_skills.builtin.skill_folders import SkillFoldersPlugin
from agent_skills.builtin.web_search import WebSearchPlugin
from agent_skills.errors import PluginRefusedError
from agent_skills.folders import find_folders
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.programs.sandboxed import Programs
from agent_skills.registry import SkillRegistry
from agent_skills.secrets import SecretSource, of_this_machine
from agent_skills.web.engines import SearchSettings
from agent_skills.web.guarded import GuardedWeb, WebLimits
from agent_skills.workspace import WorkspaceSettings

logger = logging.getLogger(__name__)


class BuiltinSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the built-in skills need to be told."""

    workspace: WorkspaceSettings | None = None
    """The folder that the file skills may read; without it there are none."""
    zone: str = ""
    """The IANA time zone of the clock, such as `Europe/Berlin`; empty: the machine's."""
    fetch: WebLimits | None = None
    """What `fetch` may reach, and how much of it; without it pages of the web are not fetched."""
    search: SearchSettings | None = None
    """The engine of `web_search`; without it the web is not searched."""
    ask_person: bool = False
    """`ask_person`: the model may ask, and the run waits for the reply. For hosts whose people can answer."""
    shell: bool = False
    """`shell` in the workspace. Needs `BuiltinParts.programs`, and so a sandbox."""
    python: Literal["", "snippets", "sandbox"] = ""
    """`python`: in Monty (needs `BuiltinParts.snippets`), or the whole of it in a sandbox (`BuiltinParts.programs`)."""
    code_mode: bool = False
    """`run_code`: snippets that call the other skills. Needs `BuiltinParts.snippets`."""
    skill_folders: tuple[Path, ...] = ()
    """Folders whose folders hold a `SKILL.md`."""

    @classmethod
    def in_folder(cls, folder: Path) -> "BuiltinSettings":
        """The defaults, with `folder` as the workspace."""
        return cls(workspace=WorkspaceSettings(folder=folder))


class BuiltinParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the built-in skills need of the rest of a system. What is None brings no skill."""

    clock: Clock = msgspec.field(default_factory=SystemClock)
    secret: SecretSource = of_this_machine
    """The value of a secret by its name; asked at each call."""
    knowledge: KnowledgeBase | None = None
    memory: MemoryPlugin | None = None
    programs: Programs | None = None
    """Runs programs in sandboxes; whoever made it knows that there is one."""
    snippets: MontyInterpreter | None = None
    """Whoever made it closes it."""


def register_builtins(
    registry: SkillRegistry,
    settings: BuiltinSettings | None = None,
    *,
    clock: Clock | None = None,
    parts: BuiltinParts | None = None,
) -> None:
    """Register the built-in plugins `calculator` and `clock`, and those that the settings and parts make possible.

    Raises:
        PluginRefusedError: a name is taken, the zone is unknown, the workspace is no folder, or a library or a
            sandbox that a skill needs is not there.
    """
    settings = settings or BuiltinSettings()
    parts = parts or BuiltinParts()
    registry.register("calculator", CalculatorPlugin())
    registry.register("clock", ClockPlugin(clock or parts.clock, settings.zone))
    if settings.ask_person:
        registry.register("ask_person", AskPersonPlugin())
    if settings.workspace is not None:
        registry.register("files", FilesPlugin(settings.workspace))
    if settings.fetch is not None:
        registry.register("fetch", FetchPlugin(GuardedWeb(settings.fetch)))
    if settings.search is not None:
        registry.register("web_search", WebSearchPlugin(settings.search, parts.secret))
    if parts.knowledge is not None:
        registry.register("knowledge", KnowledgePlugin(parts.knowledge))
    if parts.memory is not None:
        registry.register("memory", parts.memory)
    _register_programs(registry, settings, parts)


def _register_programs(registry: SkillRegistry, settings: BuiltinSettings, parts: BuiltinParts) -> None:
    """Register what runs code of others. What has no wall to run behind is refused, not run without one."""
    workspace = settings.workspace
    if settings.shell:
        if parts.programs is None or workspace is None:
            raise PluginRefusedError("shell", "it needs a sandbox and a workspace")
        registry.register("shell", ShellPlugin(parts.programs, workspace))
    _register_snippets(registry, settings, parts)
    if settings.python == "sandbox":
        if parts.programs is None:
            raise PluginRefusedError("python", "it needs a sandbox")
        registry.register("python", PythonPlugin(parts.programs))
    found, broken = find_folders(settings.skill_folders)
    for folder, reason in broken.items():
        logger.warning("skill folder %s is left out: %s", folder, reason)
    if found:
        place = workspace.folder if workspace else None
        registry.register("skill_folders", SkillFoldersPlugin(found, parts.programs, workspace=place))


def _register_snippets(registry: SkillRegistry, settings: BuiltinSettings, parts: BuiltinParts) -> None:
    wanted = {"code_mode": settings.code_mode, "python": settings.python == "snippets"}
    for plugin in [name for name, is_wanted in wanted.items() if is_wanted]:
        if parts.snippets is None:
            raise PluginRefusedError(plugin, "snippets need an interpreter: pass BuiltinParts(snippets=...)")
        if plugin == "code_mode":
            registry.register(plugin, CodeModePlugin(parts.snippets, registry))
        else:
            registry.register(plugin, SnippetsPlugin(parts.snippets))


__all__ = [
    "AskPersonPlugin",
    "BuiltinParts",
    "BuiltinSettings",
    "CalculatorPlugin",
    "ClockPlugin",
    "CodeModePlugin",
    "FetchPlugin",
    "FilesPlugin",
    "HttpApiAuth",
    "HttpApiPlugin",
    "HttpApiSettings",
    "KnowledgePlugin",
    "MemoryPlugin",
    "PythonPlugin",
    "ShellPlugin",
    "SkillFoldersPlugin",
    "SnippetsPlugin",
    "WebSearchPlugin",
    "register_builtins",
]
