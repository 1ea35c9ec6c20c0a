"""Tools that are functions of a test."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolOffer, ToolResult, ToolSpec

Body: TypeAlias = Callable[..., str | Awaitable[str]]


def tool(
    name: str, *, idempotent: bool = True, answer: str = "", parameters: JsonObject | None = None
) -> ToolSpec:
    """A specification with any arguments."""
    return ToolSpec(
        name=name,
        description=f"The tool {name}.",
        parameters=parameters or {"type": "object"},
        idempotent=idempotent,
        answer=answer,
    )


class ScriptedTools:
    """Runs functions by name; `ran` records each call with its context.

    A function takes the arguments by keyword and returns a text, or raises: its message becomes the error's text.
    """

    def __init__(self, bodies: dict[str, Body], *, specs: Sequence[ToolSpec] = ()) -> None:
        self._bodies = bodies
        self._specs = {spec.name: spec for spec in (*(tool(name) for name in bodies), *specs)}
        self.ran: list[tuple[ToolCall, ToolContext]] = []

    async def specs(self, query: str) -> Sequence[ToolOffer]:  # noqa: ARG002  # the port's signature
        """Every tool, none proposed."""
        return tuple(ToolOffer(spec=spec, score=0.0) for spec in self._specs.values())

    def spec(self, name: str) -> ToolSpec | None:
        """The specification of one tool."""
        return self._specs.get(name)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
        """Run the function of that name."""
        self.ran.append((call, context))
        body = self._bodies.get(call.name)
        if body is None:
            known = ", ".join(sorted(self._bodies))
            content = f"There is no tool {call.name!r}; there are: {known}."
            return ToolResult(tool_call_id=call.tool_call_id, content=content, error="unknown_tool")
        if call.malformed:
            content = f"The arguments of {call.name} are no JSON object: {call.malformed}"
            return ToolResult(tool_call_id=call.tool_call_id, content=content, error="invalid_arguments")
        try:
            value = body(**call.arguments)
            content = await value if inspect.isawaitable(value) else value
        except Exception as error:  # noqa: BLE001  # a tool's failure is a result
            return ToolResult(tool_call_id=call.tool_call_id, content=str(error), error="failed")
        return ToolResult(tool_call_id=call.tool_call_id, content=str(content))
