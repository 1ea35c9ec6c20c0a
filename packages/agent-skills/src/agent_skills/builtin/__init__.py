"""The skills that come with the library, one file each. Each is a plugin, registered in code as any other is."""

from pathlib import Path

import msgspec

from agent_core.ports import Clock
from agent_core.system import SystemClock
from agent_skills.builtin.calculator import CalculatorPlugin
from agent_skills.builtin.clock import ClockPlugin
from agent_skills.builtin.files import FilesPlugin
from agent_skills.registry import SkillRegistry
from agent_skills.workspace import WorkspaceSettings


class BuiltinSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the built-in skills need to be told."""

    workspace: WorkspaceSettings | None = None
    """The folder that the file skills may read; without it there are none."""
    zone: str = ""
    """The IANA time zone of the clock, such as `Europe/Berlin`; empty: the machine's."""

    @classmethod
    def in_folder(cls, folder: Path) -> "BuiltinSettings":
        """The defaults, with `folder` as the workspace."""
        return cls(workspace=WorkspaceSettings(folder=folder))


def register_builtins(
    registry: SkillRegistry, settings: BuiltinSettings | None = None, *, clock: Clock | None = None
) -> None:
    """Register the built-in plugins `calculator`, `clock` and, given a workspace, `files`.

    Raises:
        PluginRefusedError: a name is taken, the zone is unknown or the workspace is no folder.
    """
    settings = settings or BuiltinSettings()
    registry.register("calculator", CalculatorPlugin())
    registry.register("clock", ClockPlugin(clock or SystemClock(), settings.zone))
    if settings.workspace is not None:
        registry.register("files", FilesPlugin(settings.workspace))


__all__ = ["BuiltinSettings", "CalculatorPlugin", "ClockPlugin", "FilesPlugin", "register_builtins"]
