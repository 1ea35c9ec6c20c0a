"""Every hook that a plugin may implement, on one screen. There are never more than six; all are named `register_*`.

A plugin is a module, or any object, with functions marked `@hookimpl`:

    from agent_skills import hookimpl, skill

    @hookimpl
    def register_skills(register):
        register(roll_dice)
"""

from collections.abc import Callable
from typing import TypeAlias

import pluggy

from agent_skills.skill import Skill

PROJECT = "agent_skills"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register: TypeAlias = Callable[[Skill[..., object]], None]
"""Contributes one skill. Raises `DuplicateSkillError` where the name is taken. Valid until the hook returns."""


@hookspec
def register_skills(register: Register) -> None:
    """Contribute skills. Called once, when the plugin is registered, in the process that serves the runs.

    It must be quick and plain: no network, no threads. Whatever it raises refuses the plugin as a whole, and the
    skills it registered before are taken back.

    Args:
        register: call it once for each skill.
    """
