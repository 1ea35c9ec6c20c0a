"""Operations of an HTTP API by its OpenAPI document (3.0 or 3.1): what a model may fill in, and the request that follows. Pure.

References are followed inside the document alone; a type that contains itself is cut where it does.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.http import HttpRequest

METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
MAX_DEPTH: Final = 12
MAX_DESCRIPTION_CHARS: Final = 1_000
_PLACES: Final = ("path", "query", "header")
_OWN_HEADERS: Final = frozenset(
    {"accept", "content-type", "authorization", "host", "cookie", "content-length"}
)
_TEMPLATE = re.compile(r"\{([^{}]+)\}")
_KEPT: Final = frozenset(
    [
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "description",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "additionalProperties",
        "nullable",
    ]
)


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """Where one argument goes."""

    name: str
    """As the model calls it."""
    field: str
    """As the API calls it."""
    place: str
    """`path`, `query`, `header` or `body`."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of an API."""

    name: str
    method: str
    path: str
    description: str
    schema: JsonObject
    arguments: tuple[Argument, ...]


def operations(document: JsonObject) -> Iterator[Operation]:
    """The operations of a document, in its order.

    Raises:
        SkillError: it is no OpenAPI document of version 3.
    """
    if not str(document.get("openapi", "")).startswith("3."):
        raise SkillError("this is no OpenAPI document of version 3; convert it, or take another")
    root = _Document(document)
    for path, item in as_object(document.get("paths")).items():
        shared = as_list(as_object(item).get("parameters"))
        for method in METHODS:
            if method in as_object(item):
                yield root.operation(method, path, as_object(as_object(item)[method]), shared)


def base_url(document: JsonObject) -> str:
    """The first address that a document names; empty where it names none that stands by itself."""
    servers = as_list(document.get("servers"))
    url = str(as_object(servers[0]).get("url", "")) if servers else ""
    return url if url.startswith(("https://", "http://")) and "{" not in url else ""


def request(operation: Operation, base: str, arguments: JsonObject) -> HttpRequest:
    """The request of one call, without credentials.

    Raises:
        SkillFailedError: an argument cannot stand where it belongs.
    """
    path, query, headers = operation.path, list[tuple[str, str]](), {"accept": "application/json, */*;q=0.1"}
    body = b""
    for argument in operation.arguments:
        value = arguments.get(argument.name)
        if value is None:
            continue
        match argument.place:
            case "path":
                path = path.replace(f"{{{argument.field}}}", _in_path(argument.name, value))
            case "query":
                ones: list[object] = as_list(value) or [value]
                query += [(argument.field, _text(one)) for one in ones]
            case "header":
                headers[argument.field] = _in_header(argument.name, value)
            case _:
                body = msgspec.json.encode(value)
                headers["content-type"] = "application/json"
    if left := _TEMPLATE.search(path):
        raise SkillFailedError(f"the argument {left[1]!r} is missing", code="invalid_arguments")
    url = base.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
    return HttpRequest(method=operation.method.upper(), url=url, headers=headers, body=body)


class _Fields:
    """The arguments of one operation, as they are found."""

    def __init__(self) -> None:
        self.arguments: list[Argument] = []
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []

    def add(self, field: str, place: str, schema: dict[str, Any], *, needed: bool) -> None:
        name = field if field not in self._properties else f"{field}_{place}"
        self._properties[name] = schema
        self.arguments.append(Argument(name=name, field=field, place=place))
        if needed:
            self._required.append(name)

    def schema(self) -> JsonObject:
        return {
            "type": "object",
            "properties": self._properties,
            "required": self._required,
            "additionalProperties": False,
        }


class _Document:
    def __init__(self, document: JsonObject) -> None:
        self._document = document

    def operation(self, method: str, path: str, operation: Mapping[str, Any], shared: list[Any]) -> Operation:
        fields = _Fields()
        named: dict[tuple[str, str], dict[str, Any]] = {}
        for one in (*shared, *as_list(operation.get("parameters"))):
            parameter = self._resolved(one)
            named[str(parameter.get("name")), str(parameter.get("in"))] = (
                parameter  # its own go before shared ones
            )
        for (field, place), parameter in named.items():
            if place in _PLACES and not (place == "header" and field.lower() in _OWN_HEADERS):
                schema = self._schema(parameter.get("schema"), parameter.get("description"))
                fields.add(field, place, schema, needed=parameter.get("required") is True or place == "path")
        body = self._resolved(operation.get("requestBody"))
        content = as_object(as_object(body.get("content")).get("application/json"))
        if content:
            schema = self._schema(content.get("schema"), body.get("description"))
            fields.add("body", "body", schema, needed=body.get("required") is True)
        texts = (str(operation.get("summary", "")), str(operation.get("description", "")))
        description = "\n".join(text for text in texts if text) or f"{method.upper()} {path}"
        return Operation(
            name=str(operation.get("operationId") or f"{method}_{path}"),
            method=method,
            path=path,
            description=description[:MAX_DESCRIPTION_CHARS],
            schema=fields.schema(),
            arguments=tuple(fields.arguments),
        )

    def _schema(self, schema: object, description: object = None) -> dict[str, Any]:
        found = self._inlined(schema, ())
        if isinstance(description, str) and description:
            found.setdefault("description", description[:MAX_DESCRIPTION_CHARS])
        return found

    def _inlined(self, schema: object, above: tuple[str, ...]) -> dict[str, Any]:
        """A schema with its references written out; where it contains itself, or is too deep, anything goes."""
        node = as_object(schema)
        reference = str(node.get("$ref", ""))
        if reference in above or len(above) > MAX_DEPTH:
            return {}
        node = self._resolved(node)
        inside = (*above, reference)
        out: dict[str, Any] = {}
        for key, value in node.items():
            match key:
                case "properties":
                    out[key] = {name: self._inlined(one, inside) for name, one in as_object(value).items()}
                case "items":
                    out[key] = self._inlined(value, inside)
                case "additionalProperties":
                    out[key] = value if isinstance(value, bool) else self._inlined(value, inside)
                case "anyOf" | "oneOf" | "allOf":
                    out[key] = [self._inlined(one, inside) for one in as_list(value)]
                case _ if key in _KEPT:
                    out[key] = value
                case _:
                    pass
        if out.pop("nullable", False) and isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
        return out

    def _resolved(self, node: object) -> dict[str, Any]:
        """What a reference means; one that leads out of the document, or nowhere, means nothing."""
        found = as_object(node)
        for _ in range(MAX_DEPTH):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            place: object = self._document if reference.startswith("#/") else {}
            for part in reference[2:].split("/"):
                place = as_object(place).get(part.replace("~1", "/").replace("~0", "~"))
            found = as_object(place)
        return {}


def _in_path(name: str, value: object) -> str:
    text = quote(_text(value), safe="")
    if text in {"", ".", ".."}:  # these would lead to another operation
        raise SkillFailedError(f"{name!r} cannot be {text!r}", code="invalid_arguments")
    return text


def _in_header(name: str, value: object) -> str:
    text = _text(value)
    if not text.isascii() or not text.isprintable():
        raise SkillFailedError(f"{name!r} must be plain text on one line", code="invalid_arguments")
    return text


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
