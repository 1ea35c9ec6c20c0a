"""Our skills as the tools of a server, through the port `ToolRunner`. What the operator did not name is not there.

A client of MCP is not our run: no policy of the machine stands before these calls. So each call of a tool with one of
the labels in `ask` needs the yes of the client's user, for exactly these arguments; a client that cannot ask its user
is refused.
"""

import secrets
from collections.abc import Collection, Sequence

import msgspec

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext, ToolRunner
from agent_core.tools import Label, ToolCall, ToolSpec
from agent_skills.decoded import as_object
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.exchange import ELICIT, Exchange, Question
from agent_skills.mcp.wire import Code

_MAX_SHOWN_CHARS = 2_000


class SkillTools:
    """The skills of a runner, as `Tools` of an `McpServer`."""

    def __init__(
        self,
        runner: ToolRunner,
        names: Collection[str],
        *,
        ask: Collection[Label] = frozenset({Label.SENDS_OUT, Label.DESTROYS}),
    ) -> None:
        """`names`: the skills that clients may call. `ask`: the labels whose calls the client's user must allow."""
        self._runner = runner
        self._names = tuple(names)
        self._ask = frozenset(ask)

    async def list(self) -> Sequence[JsonObject]:
        """The tools, in the order in which they were named."""
        return [_described(spec) for name in self._names if (spec := self._runner.spec(name)) is not None]

    async def call(self, name: str, arguments: JsonObject, exchange: Exchange) -> JsonObject:
        """Run a skill. Its failure is a result with `isError`.

        Raises:
            McpRefusedError: there is no such tool, or its user cannot be asked.
        """
        spec = self._runner.spec(name) if name in self._names else None
        if spec is None:
            raise McpRefusedError(Code.INVALID_PARAMS, f"there is no tool {name!r}")
        if self._ask.intersection(spec.labels) and not await _is_allowed(spec, arguments, exchange):
            return _content("The user did not allow this call.", is_error=True)
        number = secrets.token_hex(8)
        call = ToolCall(tool_call_id=number, name=name, arguments=arguments)
        context = ToolContext(run_id=f"mcp_{number}", session_id="mcp", idempotency_key=f"mcp/{number}")
        result = await self._runner.run(call, context)
        return _content(result.content, is_error=result.is_error)


async def _is_allowed(spec: ToolSpec, arguments: JsonObject, exchange: Exchange) -> bool:
    shown = msgspec.json.encode(arguments).decode()
    if len(shown) > _MAX_SHOWN_CHARS:
        shown = f"{shown[:_MAX_SHOWN_CHARS]}... ({len(shown):,} characters)"
    does = ", ".join(label.value.replace("_", " ") for label in spec.labels)
    question = Question(
        method=ELICIT,
        params={
            "message": f"Allow {spec.name} ({does}) with {shown}?",
            "requestedSchema": {
                "type": "object",
                "properties": {"allow": {"type": "boolean", "description": "Allow this call"}},
                "required": ["allow"],
            },
        },
    )
    answer = (await exchange.ask({"allow": question}))["allow"]
    return answer.get("action") == "accept" and as_object(answer.get("content")).get("allow") is True


def _described(spec: ToolSpec) -> JsonObject:
    """A tool as the protocol describes it. The hints say what the labels say."""
    labels = frozenset(spec.labels)
    return {
        "name": spec.name,
        "description": spec.description,
        "inputSchema": dict(spec.parameters),
        "annotations": {
            "readOnlyHint": not labels & {Label.SENDS_OUT, Label.DESTROYS} and spec.idempotent,
            "destructiveHint": Label.DESTROYS in labels,
            "idempotentHint": spec.idempotent,
            "openWorldHint": bool(labels & {Label.SENDS_OUT, Label.RETURNS_UNTRUSTED}),
        },
    }


def _content(text: str, *, is_error: bool) -> JsonObject:
    return {"content": [{"type": "text", "text": text}], "isError": is_error}
