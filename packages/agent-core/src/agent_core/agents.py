"""Sub-agents: a tool whose call is a run of its own. Pure: how one is offered, begun, and what its run comes to.

The model calls a sub-agent as it calls any tool. The call is journaled as delegated, with the id of a run that has its
own journal and session, at the most a share of the limits, and the sub-agent's model, tools and instructions. The run's
answer is the call's result, labelled with all that the run read; what it spent counts for who delegated. Its task is a
model's word: where who delegated had read what anybody may have written, nothing in it is vouched for. Whoever cancels a
run cancels what it delegated; a sub-agent that fails or is cancelled is a failed call.
"""

from collections.abc import Sequence

import msgspec

from agent_core import events as ev
from agent_core.errors import ConfigurationError
from agent_core.json_types import JsonObject
from agent_core.limits import Limits, share
from agent_core.messages import Message, user
from agent_core.planning import DELEGATED
from agent_core.ports import ChatModel, HydrateRequest, Memory, ToolContext, ToolRunner
from agent_core.state import Phase, RunState
from agent_core.taint import labels_seen
from agent_core.tools import Label, ToolCall, ToolOffer, ToolResult, ToolSpec

TASK: JsonObject = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "description": "All that is needed to do it; nothing else is known."}
    },
    "required": ["task"],
}


class SubAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that another may call. What is None is taken from who calls it."""

    name: str
    description: str
    """What it is good for, in words for the model that may call it."""
    instructions: str = ""
    parameters: JsonObject = msgspec.field(default_factory=lambda: TASK)
    """JSON schema of its arguments. With the one argument `task` that text is its prompt; else all of them, as JSON."""
    labels: tuple[Label, ...] = ()
    """What calling it does, for the policy of who calls; its result has these and those of all that its run read."""
    limits: Limits = Limits()
    """At the most; it never gets more than its share of what the caller has left."""
    answer_schema: JsonObject | None = None
    model: ChatModel | None = None
    tools: ToolRunner | None = None
    memory: Memory | None = None
    """None: it knows only its task, and its outcome is not kept."""
    agents: Sequence["SubAgent"] = ()
    """Whom it may call in its turn."""


class NoTools:
    """A tool runner without tools: for a sub-agent that only thinks, and for a model that only talks."""

    async def specs(self, query: str) -> Sequence[ToolOffer]:  # noqa: ARG002  # the port's signature
        """None."""
        return ()

    def spec(self, name: str) -> ToolSpec | None:  # noqa: ARG002  # the port's signature
        """None."""
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:  # noqa: ARG002  # the port's signature
        """Say that there is no such tool."""
        content = f"There is no tool {call.name!r}; there are none."
        return ToolResult(tool_call_id=call.tool_call_id, content=content, error="unknown_tool")


class Forgetful:
    """A memory that knows nothing and keeps nothing: a sub-agent knows its task."""

    async def hydrate(self, request: HydrateRequest) -> Sequence[Message]:  # noqa: ARG002  # the port's signature
        """Nothing."""
        return ()

    async def remember(self, outcome: RunState) -> None:
        """Keep nothing."""


def spec(agent: SubAgent) -> ToolSpec:
    """The sub-agent as a tool. Idempotent: a repeated call finds the run that it began."""
    return ToolSpec(
        name=agent.name,
        description=agent.description,
        parameters=agent.parameters,
        labels=agent.labels,
        idempotent=True,
    )


def by_name(agents: Sequence[SubAgent]) -> dict[str, SubAgent]:
    """Sub-agents by their names.

    Raises:
        ConfigurationError: two have the same.
    """
    named = {agent.name: agent for agent in agents}
    if len(named) < len(agents):
        raise ConfigurationError("two sub-agents have the same name; the model could not tell them apart")
    return named


def begun(
    parent: RunState, call: ToolCall, agent: SubAgent, *, run_id: str, among: int, at: float, model: str
) -> ev.RunStarted:
    """The first event of the run that `call` is delegated to.

    Args:
        parent: The run that delegates.
        call: Its call of the sub-agent.
        agent: The sub-agent.
        run_id: The id of the new run; its session is its own and has the same name.
        among: How many delegations are under way or to come, this one included.
        at: The time, in seconds since the epoch.
        model: The name of the model that will be asked.
    """
    return ev.RunStarted(
        at=at,
        run_id=run_id,
        session_id=run_id,
        parent_id=parent.run_id,
        agent=f"{parent.agent}/{agent.name}" if parent.agent else agent.name,
        input=user(_prompt(call)),
        model=model,
        instructions=agent.instructions,
        limits=share(parent.limits, parent.spent, agent.limits, among),
        answer_schema=agent.answer_schema,
        read_before=tuple(sorted(labels_seen(parent))),
    )


def _prompt(call: ToolCall) -> str:
    task = call.arguments.get("task")
    if isinstance(task, str) and len(call.arguments) == 1:
        return task
    return msgspec.json.encode(call.arguments).decode()


def under_way(state: RunState) -> tuple[str, ...]:
    """The runs that were delegated to and are not back, in plan order."""
    return tuple([call.run_id for call in state.calls.values() if call.status is DELEGATED])


def outcome(tool_call_id: str, run: RunState, labels: Sequence[Label]) -> ToolResult:
    """What a run that is over comes to, for the call that it was delegated from."""
    seen = tuple(sorted({*labels, *labels_seen(run)}))
    if run.phase is Phase.DONE:
        return ToolResult(tool_call_id=tool_call_id, content=run.answer, labels=seen)
    if run.phase is Phase.CANCELLED:
        content, code = f"The sub-agent's run was {run.error}.", "cancelled"
    else:
        content, code = f"The sub-agent failed: {run.error}.", "agent_failed"
    return ToolResult(tool_call_id=tool_call_id, content=content, error=code, labels=seen)
