"""The arguments of a skill as a type: their JSON schema, and their validation. Built from a function's signature.

The schema is plain (draft 2020-12) and stable byte for byte, so that prompt caches and hashes hold. What vendors' strict
modes want beyond that is in `schema_strict`.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from agent_core.json_types import JsonObject
from agent_core.ports import ToolContext
from agent_skills.errors import InvalidArgumentsError, SkillDefinitionError
from agent_skills.secrets import Secrets

_REFERENCE = "#/$defs/"
_REFERENCES = re.compile(r'"\$ref":"#/\$defs/([^"]+)"')
_NOISE = frozenset({"title", "default", "discriminator"})
_GIVEN = (ToolContext, Secrets)
_PARAMETER_KINDS = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


class Parameters:
    """The parameters of one function: `schema` describes them, `parse` validates arguments against them."""

    def __init__(self, function: Callable[..., object], descriptions: Mapping[str, str], name: str) -> None:
        """Read the signature of `function`.

        Raises:
            SkillDefinitionError: a parameter without a type, of a kind that JSON cannot fill or of a type that
                has no schema; or a description of a parameter that does not exist.
        """
        signature = _read_signature(function, name)
        self.context_name = signature.given.get(ToolContext, "")
        """The parameter that wants the `ToolContext`, or empty."""
        self.secrets_name = signature.given.get(Secrets, "")
        """The parameter that wants the `Secrets`, or empty."""
        unknown = set(descriptions) - set(signature.fields) - set(signature.given.values())
        if unknown:
            raise SkillDefinitionError(
                name, f"its docstring describes {sorted(unknown)}, which it does not take"
            )
        self._struct, self.schema = _build(signature, descriptions, name)
        self._names = tuple(signature.fields)
        self._null_is_absent = frozenset(
            field for field in signature.optional if not _admits_null(signature.fields[field])
        )

    def parse(self, arguments: JsonObject) -> dict[str, object]:
        """The arguments as keyword arguments for the function; what was left out is left out.

        Strictly first; then a second reading takes what weak models write: "5" for 5, null for "left out".

        Raises:
            InvalidArgumentsError: they do not fit; it holds the path and the reason.
        """
        try:
            parsed = msgspec.convert(arguments, self._struct)
        except msgspec.ValidationError:
            parsed = self._parse_leniently(arguments)
        except RecursionError:
            raise InvalidArgumentsError("$", "the arguments are nested too deeply") from None
        # Dynamic by nature: the struct was made from the signature.
        values = ((name, getattr(parsed, name)) for name in self._names)
        return {name: value for name, value in values if value is not UNSET}

    def _parse_leniently(self, arguments: JsonObject) -> msgspec.Struct:
        given = {k: v for k, v in arguments.items() if v is not None or k not in self._null_is_absent}
        try:
            return msgspec.convert(given, self._struct, strict=False)
        except msgspec.ValidationError as error:
            reason, _, path = str(error).partition(" - at `")
            raise InvalidArgumentsError(path.rstrip("`") or "$", reason) from None


class _Signature(NamedTuple):
    fields: dict[str, Any]
    optional: frozenset[str]
    given: dict[type, str]
    """What the runner fills in: the type, and the name of the parameter."""


def _read_signature(function: Callable[..., object], name: str) -> _Signature:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise SkillDefinitionError(name, f"its annotations cannot be read: {error}") from error
    fields: dict[str, Any] = {}
    optional: set[str] = set()
    given: dict[type, str] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _PARAMETER_KINDS:
            raise SkillDefinitionError(name, f"parameter {parameter} is not a plain named one")
        if parameter.name not in hints:
            raise SkillDefinitionError(name, f"parameter {parameter.name!r} has no type annotation")
        if hints[parameter.name] in _GIVEN:
            given[hints[parameter.name]] = parameter.name
            continue
        fields[parameter.name] = hints[parameter.name]
        if parameter.default is not inspect.Parameter.empty:
            optional.add(parameter.name)
    return _Signature(fields, frozenset(optional), given)


def _build(
    signature: _Signature, descriptions: Mapping[str, str], name: str
) -> tuple[type[msgspec.Struct], JsonObject]:
    # UNSET stands for "left out": the function's own default then applies, whatever kind of object it is.
    fields: list[Any] = [
        (field, typing.Union[kind, UnsetType], UNSET) if field in signature.optional else (field, kind)  # noqa: UP007
        for field, kind in signature.fields.items()
    ]
    try:
        struct = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True, module=__name__)
        schema = normalise(msgspec.json.schema(struct))
    except (TypeError, ValueError) as error:
        raise SkillDefinitionError(name, f"its arguments have no JSON schema: {error}") from error
    properties: Any = schema["properties"]
    for field, text in descriptions.items():
        if field in properties:
            properties[field].setdefault("description", text)
    return struct, schema


def _admits_null(kind: Any) -> bool:
    try:
        msgspec.convert(None, kind)
    except msgspec.ValidationError:
        return False
    return True


def normalise(schema: JsonObject) -> dict[str, Any]:
    """A schema as models read it best: an object at the root, references written out, closed objects, no noise.

    References stay only where a type contains itself; those definitions are under `$defs`.
    """
    definitions: dict[str, Any] = dict(typing.cast("Mapping[str, Any]", schema.get("$defs", {})))
    walk = _Normaliser(definitions)
    root: dict[str, Any] = walk.node({k: v for k, v in schema.items() if k != "$defs"})
    root.setdefault("type", "object")
    if walk.recursive:
        root["$defs"] = {name: walk.body(definitions[name]) for name in definitions if name in walk.recursive}
    return root


class _Normaliser:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        uses = {
            name: set(_REFERENCES.findall(msgspec.json.encode(body).decode()))
            for name, body in definitions.items()
        }
        self.recursive = {name for name in uses if name in _reachable(uses, name)}

    def node(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        node = typing.cast("dict[str, Any]", schema)
        reference = node.get("$ref")
        if reference is None:
            return self.body(node)
        name = str(reference).removeprefix(_REFERENCE)
        siblings = self.body({k: v for k, v in node.items() if k != "$ref"})
        if name in self.recursive:
            return {"$ref": reference, **siblings}
        return {**self.node(self._definitions[name]), **siblings}

    def body(self, node: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in node.items():
            match key:
                case _ if key in _NOISE:
                    continue
                case "properties":
                    # The keys in here are names, not keywords: one may be called "title".
                    out[key] = {name: self.node(inner) for name, inner in value.items()}
                case "anyOf" | "oneOf":
                    out["anyOf"] = [self.node(inner) for inner in value]
                case "prefixItems":
                    out[key] = [self.node(inner) for inner in value]
                case "items" | "additionalProperties":
                    out[key] = self.node(value)
                case _:
                    out[key] = value
        if "properties" in out:
            out.setdefault("additionalProperties", False)
        if "enum" in out and all(isinstance(value, str) for value in out["enum"]):
            out = {
                "type": "string",
                **out,
            }  # said again by some providers' wish: a bare enum is refused there
        return out


def _reachable(uses: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(uses[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += uses.get(name, ())
    return seen
