"""Where a constraint goes in a Chat Completions request: what `compat` says, for each kind of constraint. Pure."""

from collections.abc import Mapping, Sequence
from typing import assert_never, cast

from agent_core.chat import Choice, Constraint, Grammar, JsonSchema
from agent_gateway.compat import Compat, ConstraintField
from agent_gateway.errors import ConstraintUnsupportedError


def constraint_fields(constraint: Constraint, compat: Compat) -> dict[str, object]:
    """The fields of a request that hold its reply to `constraint`.

    Raises:
        ConstraintUnsupportedError: the server has no such fields.
    """
    value: object
    match constraint:
        case JsonSchema():
            place, kind, value = compat.json_schema, "json", constraint.schema
        case Choice():
            place, kind, value = compat.choice, "choice", list(constraint.values)
        case Grammar():
            place, kind, value = compat.grammar, "grammar", constraint.gbnf
        case _:
            assert_never(constraint)
    match place:
        case ConstraintField.STRUCTURED_OUTPUTS:
            return {"structured_outputs": {kind: value}}
        case ConstraintField.GUIDED:
            return {f"guided_{kind}": value}
        case ConstraintField.RESPONSE_FORMAT if isinstance(constraint, JsonSchema):
            return {"response_format": _response_format(constraint, compat)}
        case ConstraintField.GBNF if not isinstance(constraint, JsonSchema):
            grammar = choice_grammar(constraint.values) if isinstance(constraint, Choice) else constraint.gbnf
            return {"grammar": grammar}
        case _:
            raise ConstraintUnsupportedError(compat.name, kind)


def _response_format(constraint: JsonSchema, compat: Compat) -> dict[str, object]:
    inner: dict[str, object] = {"name": constraint.name, "schema": constraint.schema}
    if compat.strict_schema and is_strict(constraint.schema):
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def choice_grammar(values: Sequence[str]) -> str:
    """The GBNF of exactly these texts."""
    return "root ::= " + " | ".join(f'"{_literal(value)}"' for value in values)


def _literal(text: str) -> str:
    """`text` inside a GBNF literal: quotes, backslashes and whatever is no printed character are written as escapes."""
    return "".join(
        f"\\x{ord(char):02X}" if char < " " or char == "\x7f" else f"\\{char}" if char in '"\\' else char
        for char in text
    )


def is_strict(schema: object) -> bool:
    """Whether OpenAI's strict mode takes the schema: every object closed, with every property required."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in cast("list[object]", schema))
    if not isinstance(schema, Mapping):
        return True
    fields = cast("Mapping[str, object]", schema)
    if fields.get("type") == "object":
        properties = cast("Mapping[str, object]", fields.get("properties") or {})
        required = cast("Sequence[str]", fields.get("required") or ())
        if fields.get("additionalProperties") is not False or set(required) != set(properties):
            return False
    return all(is_strict(value) for value in fields.values())
