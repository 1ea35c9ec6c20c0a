"""What a server asks of us while it works: a form for a person. Models and folders of ours are not for servers."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_object
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.wire import Code

ELICIT: Final = "elicitation/create"

AskPerson: TypeAlias = Callable[[str, JsonObject], Awaitable[JsonObject | None]]
"""Shows a person a question and the JSON schema of a form; returns the form, or None where it was declined.

What was left out of the form is filled in from the schema's defaults.
"""


def capabilities(ask: AskPerson | None) -> JsonObject:
    """What we tell a server that we can be asked."""
    return {} if ask is None else {"elicitation": {"form": {}}}


async def answer(method: str, params: JsonObject, ask: AskPerson | None) -> JsonObject:
    """The result for one question of a server.

    Raises:
        McpRefusedError: it is nothing that we answer.
    """
    if method != ELICIT or ask is None:
        raise McpRefusedError(Code.METHOD_NOT_FOUND, f"{method} is not answered here")
    if params.get("mode", "form") != "form":
        raise McpRefusedError(Code.INVALID_PARAMS, "only forms are answered here")
    schema = as_object(params.get("requestedSchema"))
    form = await ask(str(params.get("message", "")), schema)
    if form is None:
        return {"action": "decline"}
    return {"action": "accept", "content": {**_defaults(schema), **form}}


def _defaults(schema: JsonObject) -> dict[str, Any]:
    properties = as_object(schema.get("properties"))
    return {
        name: as_object(one)["default"] for name, one in properties.items() if "default" in as_object(one)
    }
