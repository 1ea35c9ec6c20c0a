"""An agent over fakes of every port: the daemon's own code around a scripted model."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent_api.composition import Agent, Skills
from agent_api.settings import Settings
from agent_core.runner import Runner
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, ScriptedTools, tool
from agent_core.testing.models import Reply
from agent_core.tools import Label
from agent_skills import SkillRegistry, SkillRunner

MakeAgent = Callable[[Sequence[Reply]], Agent]


@pytest.fixture
def make_agent(tmp_path: Path) -> MakeAgent:
    def make(replies: Sequence[Reply], **settings: object) -> Agent:
        model = ScriptedModel(replies)
        journal = InMemoryJournal()
        wipe = tool("wipe")
        tools = ScriptedTools(
            {"add": lambda a, b: str(a + b), "wipe": lambda: "wiped"},
            specs=[type(wipe)(name="wipe", description="Wipes.", parameters={}, labels=(Label.DESTROYS,))],
        )
        registry = SkillRegistry()
        return Agent(
            settings=Settings(data_dir=str(tmp_path), **settings),
            data_path=tmp_path,
            journal=journal,
            model=model,
            skills=Skills(registry=registry, runner=SkillRunner(registry), plugins=()),
            runner=Runner(model=model, tools=tools, memory=NoMemory(), journal=journal),
        )

    return make
