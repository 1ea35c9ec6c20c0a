"""The skills of one tenant, or of the command line: what is there, where it comes from, and how it is offered."""

from collections.abc import Iterator, Sequence

import msgspec

from agent_core.chat import ToolMode
from agent_core.tools import ToolSpec
from agent_skills import PluginState, PluginStatus, SkillRegistry, SkillRunner
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.policy import Grants


class Skills(msgspec.Struct, frozen=True, kw_only=True):
    """The skills of this machine, and what became of the plugins."""

    registry: SkillRegistry
    runner: SkillRunner
    plugins: Sequence[PluginStatus]
    grants: Grants = Grants()
    """What the plugins were given."""
    snippets: MontyInterpreter | None = None
    """What runs snippets of a model; None: no setting wants any."""
    tool_mode: ToolMode = ToolMode.ROUTED
    """How the model is offered them."""
    most_offered: int = 40
    """So many are all offered to a model with a tool format of its own."""

    async def aclose(self) -> None:
        """End all processes that run skills; may be called twice."""
        await self.runner.aclose()
        if self.snippets is not None:
            await self.snippets.aclose()

    @property
    def broken(self) -> Sequence[PluginStatus]:
        """The plugins that were left out because they are broken."""
        return [status for status in self.plugins if status.state is PluginState.QUARANTINED]

    @property
    def loaded(self) -> Sequence[PluginStatus]:
        """The plugins whose skills are there."""
        return [status for status in self.plugins if status.state is PluginState.LOADED]

    @property
    def absent(self) -> Sequence[PluginStatus]:
        """The plugins that are installed and not there, each with its reason."""
        return [status for status in self.plugins if status.state is not PluginState.LOADED]

    def listed(self) -> Iterator[tuple[str, ToolSpec]]:
        """Each plugin's name with the specification of one of its skills."""
        for plugin, names in self.registry.plugins.items():
            for name in names:
                spec = self.runner.spec(name)
                if spec is not None:
                    yield plugin, spec

    def how_offered(self, of_servers: int = 0) -> str:
        """How many a model is offered at once, in words; `of_servers` are tools that are not among them."""
        count = of_servers + sum(not spec.finds_tools for _, spec in self.listed())
        if self.tool_mode is not ToolMode.NATIVE:
            return f"{count} skills: the one that fits a request is proposed to the model"
        if count <= self.most_offered:
            return f"{count} skills: all are offered to the model"
        nearest = self.most_offered // 2
        return f"{count} skills: the {nearest} nearest to a request are offered to the model, and find_skills finds the others"
