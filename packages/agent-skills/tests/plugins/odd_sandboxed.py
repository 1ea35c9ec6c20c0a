"""A plugin whose one skill wants a sandbox."""

import os
from pathlib import Path

from agent_skills import Level, hookimpl, skill


@skill(level=Level.SANDBOX)
def look_around() -> dict[str, object]:
    """Say what can be seen."""
    return {"user": os.getuid(), "home": Path("~root/.ssh").expanduser().exists(), "pid": os.getpid()}


@hookimpl
def register_skills(register):
    register(look_around)
