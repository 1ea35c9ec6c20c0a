"""Skills whose arguments are described by a JSON schema from elsewhere: tools of MCP servers, operations of HTTP APIs.

What lies deep in such a schema is checked by the far side; here what stands at the top: enough to tell a model at once
what it forgot or made up.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias, cast

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_core.tools import ArgumentRole, FieldLabel, Label, ToolSpec
from agent_skills.decoded import as_list, as_object
from agent_skills.errors import InvalidArgumentsError
from agent_skills.reading import PlainReader
from agent_skills.schema import Parameters
from agent_skills.skill import Skill

Call: TypeAlias = Callable[[JsonObject, ToolContext], Awaitable[object]]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class DescribedParameters(Parameters):
    """The arguments of such a skill; they reach its function as one object."""

    def __init__(self, schema: JsonObject) -> None:  # pyright: ignore[reportMissingSuperCall] - nothing to read
        self.schema = schema
        self.context_name = "context"
        self.secrets_name = ""

    def parse(self, arguments: JsonObject) -> dict[str, object]:
        """The arguments, checked at the top.

        Raises:
            InvalidArgumentsError: one is missing, unknown or of another type.
        """
        properties = as_object(self.schema.get("properties"))
        for name in as_list(self.schema.get("required")):
            if name not in arguments:
                raise InvalidArgumentsError("$", f"Object missing required field `{name}`")
        for name, value in arguments.items():
            if name not in properties:
                if self.schema.get("additionalProperties") is False:
                    raise InvalidArgumentsError("$", f"Object contains unknown field `{name}`")
            elif not _is_of(value, as_object(properties[name]).get("type")):
                wanted = as_object(properties[name]).get("type")
                raise InvalidArgumentsError(f"$.{name}", f"Expected `{wanted}`, got `{type(value).__name__}`")
        return {"arguments": dict(arguments)}


def described_skill(
    *,
    name: str,
    description: str,
    schema: JsonObject,
    call: Call,
    labels: Iterable[Label] = (),
    roles: Mapping[str, ArgumentRole] | None = None,
    fields: Mapping[str, FieldLabel] | None = None,
    idempotent: bool = False,
    timeout_s: float = 30.0,
) -> Skill[..., Awaitable[object]]:
    """A skill that runs `call` with its arguments as they were given.

    Args:
        name: letters, digits, `_` and `-`, at most 64.
        description: for the model.
        schema: of the arguments; the root is an object.
        call: the arguments and the run, to whatever the model shall read.
        labels: what a policy must know.
        roles: of arguments, for a policy.
        fields: of results that are JSON, by path, for a policy.
        idempotent: calling again with the same arguments does no harm.
        timeout_s: seconds one call may take.
    """

    async def function(arguments: JsonObject, context: ToolContext) -> object:
        return await call(arguments, context)

    spec = ToolSpec(
        name=name,
        description=description,
        parameters=schema,
        labels=tuple(labels),
        roles=dict(roles or {}),
        fields=dict(fields or {}),
        idempotent=idempotent,
        timeout_s=timeout_s,
    )
    return Skill(function, spec, DescribedParameters(schema), PlainReader(None))


def _is_of(value: object, wanted: object) -> bool:
    """Whether a value is of a type of JSON schema; what is not said, or not known, holds for all."""
    if isinstance(wanted, list):
        return any(_is_of(value, one) for one in cast("list[object]", wanted))
    if not isinstance(wanted, str) or wanted not in _TYPES:
        return True
    if isinstance(value, bool) or wanted == "boolean":
        return isinstance(value, bool) and wanted == "boolean"
    return isinstance(value, _TYPES[wanted]) and (
        wanted != "integer" or float(cast("float", value)).is_integer()
    )
