"""An agent over fakes of every port, and a whole daemon over a scripted model: the daemon's own code around them."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from agent_api.app import create_app
from agent_api.composition import Agent, Machine
from agent_api.daemon import Daemon, open_daemon
from agent_api.knowledge import KnowledgeBases
from agent_api.ownership import Ownership
from agent_api.settings import Settings
from agent_api.skills import Skills
from agent_core.runner import Runner
from agent_core.testing import InMemoryJournal, NoMemory, ScriptedModel, ScriptedTools, tool
from agent_core.testing.models import Reply
from agent_core.tools import Label
from agent_skills import SkillRegistry, SkillRunner, probe

MakeAgent = Callable[[Sequence[Reply]], Agent]


@pytest.fixture
def make_agent(tmp_path: Path) -> Generator[MakeAgent]:
    ownership = Ownership(tmp_path)

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
            ownership=ownership,
            journal=journal,
            model=model,
            skills=Skills(registry=registry, runner=SkillRunner(registry), plugins=()),
            runner=Runner(model=model, tools=tools, memory=NoMemory(), journal=journal),
            knowledge=KnowledgeBases(tmp_path),
        )

    yield make
    ownership.close()


@pytest.fixture
def open_serving(tmp_path: Path):
    """A daemon with real journals, tenants and built-in skills around a scripted model, and a client without a key."""

    @asynccontextmanager
    async def serving(
        replies: Sequence[Reply], **settings: object
    ) -> AsyncGenerator[tuple[httpx.AsyncClient, Daemon]]:
        workspace = tmp_path / "shared"
        workspace.mkdir(exist_ok=True)
        chosen = Settings(
            data_dir=str(tmp_path / "data"), workspace=str(workspace), plugins=False, **settings
        )
        machine = Machine(settings=chosen, model=ScriptedModel(replies), levels=await probe())
        async with open_daemon(machine) as daemon:
            transport = httpx.ASGITransport(create_app(daemon))
            async with httpx.AsyncClient(transport=transport, base_url="http://agentd") as client:
                yield client, daemon

    return serving
