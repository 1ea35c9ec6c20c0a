"""The HTTP headers of the stateless revision: what a request says twice, in its head and in its body. Pure.

Source: specification 2026-07-28, transports, "Standard request headers" and "Custom headers" (SEP-2243).
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.wire import STATELESS, VERSION_KEY, Code, Message

VERSION: Final = "mcp-protocol-version"
METHOD: Final = "mcp-method"
NAME: Final = "mcp-name"
SESSION: Final = "mcp-session-id"
PARAMETER: Final = "mcp-param-"
ANNOTATION: Final = "x-mcp-header"
"""The key in a tool's schema that wants an argument repeated in a header."""

NAMED = MappingProxyType({"tools/call": "name", "prompts/get": "name", "resources/read": "uri"})
"""Methods whose request says in a header what it asks for, and the parameter that holds it."""

_WRAPPED = re.compile(r"=\?base64\?(.*)\?=")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_TYPES = frozenset({"string", "integer", "boolean"})
_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0+)?")
_SINGLE = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"}
)
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})


def wrap(value: str) -> str:
    """A text as the value of a header: as it is if that is safe, else in base64."""
    if _PLAIN.fullmatch(value) and value == value.strip() and not _WRAPPED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="


def unwrap(value: str) -> str | None:
    """The text of a header; None where its base64 is broken."""
    wrapped = _WRAPPED.fullmatch(value)
    if wrapped is None:
        return value
    try:
        decoded = base64.b64decode(wrapped[1], validate=True)
        return decoded.decode() if base64.b64encode(decoded).decode() == wrapped[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None


def standard(message: Message) -> dict[str, str]:
    """The headers that repeat the version, the method and the name of a request."""
    headers = {METHOD: message.name}
    version = message.meta.get(VERSION_KEY)
    if isinstance(version, str):
        headers[VERSION] = version
    name = message.given.get(NAMED.get(message.name, ""))
    if isinstance(name, str):
        headers[NAME] = wrap(name)
    return headers


def annotations(schema: JsonObject) -> dict[tuple[str, ...], str]:
    """The arguments of a tool that are repeated in headers: the path of each, and its header without the prefix.

    Raises:
        ValueError: an annotation breaks the rules; a client must not offer such a tool.
    """
    found: dict[tuple[str, ...], str] = {}
    for path, node in _schemas(schema):
        if ANNOTATION not in node:
            continue
        header = node[ANNOTATION]
        where = ".".join(path) if path else "?"
        if not path:
            raise ValueError(f"{ANNOTATION} stands where no argument is")
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise ValueError(f"{ANNOTATION} of {where} is no name of a header")
        if not isinstance(node.get("type"), str) or node["type"] not in _TYPES:
            raise ValueError(f"{ANNOTATION} of {where} stands at a type that no header can hold")
        if header.lower() in {one.lower() for one in found.values()}:
            raise ValueError(f"{ANNOTATION} {header!r} stands at two arguments")
        found[path] = header
    return found


def custom(mirrored: Mapping[tuple[str, ...], str], arguments: JsonObject) -> dict[str, str]:
    """The headers that repeat arguments. An argument that is absent or null has none."""
    headers: dict[str, str] = {}
    for path, header in mirrored.items():
        text = _as_text(_at(arguments, path))
        if text is not None:
            headers[f"Mcp-Param-{header}"] = wrap(text)
    return headers


def check_standard(message: Message, headers: Mapping[str, str]) -> None:
    """Hold that head and body of a request say the same.

    Args:
        message: the request.
        headers: with names in lower case.

    Raises:
        McpRefusedError: they do not, or the body names no version or one that is not spoken.
    """
    meta = message.meta
    version = meta.get(VERSION_KEY)
    if headers.get(VERSION) != version:
        raise McpRefusedError(Code.HEADER_MISMATCH, f"{VERSION} and _meta name different revisions")
    if headers.get(METHOD, "").strip() != message.name:
        raise McpRefusedError(Code.HEADER_MISMATCH, f"{METHOD} is not the method of the request")
    key = NAMED.get(message.name)
    if key is not None:
        said = headers.get(NAME)
        if said is None or unwrap(said.strip()) != message.given.get(key):
            raise McpRefusedError(Code.HEADER_MISMATCH, f"{NAME} is not params.{key} of the request")
    check_version(version)


def check_version(version: object) -> None:
    """Hold that a revision is one of the stateless ones that are spoken here.

    Raises:
        McpRefusedError: it is not; the error lists those that are.
    """
    if version not in STATELESS:
        raise McpRefusedError(
            Code.UNSUPPORTED_VERSION,
            "this revision of the protocol is not spoken here",
            {"supported": list(STATELESS), "requested": str(version)},
        )


def check_custom(schema: JsonObject, arguments: JsonObject, headers: Mapping[str, str]) -> None:
    """Hold that headers and arguments of a call of a tool say the same.

    Raises:
        McpRefusedError: one is there without the other, or they differ, or base64 is broken.
    """
    try:
        mirrored = annotations(schema)
    except ValueError:
        return  # a client that keeps to the rules does not offer this tool, and sends no headers for it
    for path, header in mirrored.items():
        said = headers.get(PARAMETER + header.lower())
        text = _as_text(_at(arguments, path))
        if said is None and text is None:
            continue
        if said is None or text is None or not _agree(unwrap(said.strip()), text):
            raise McpRefusedError(
                Code.HEADER_MISMATCH, f"Mcp-Param-{header} is not the argument {'.'.join(path)}"
            )


def _agree(said: str | None, text: str) -> bool:
    if said == text:
        return True
    whole = _WHOLE.fullmatch(said or "")
    return whole is not None and whole[1] == text  # 42.0 says 42


def _schemas(root: JsonObject) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Any]]]:
    """Every schema in a schema, with its path through `properties` alone, or None behind any other keyword."""
    waiting: list[tuple[tuple[str, ...] | None, Any]] = [((), dict(root))]
    while waiting:
        path, node = waiting.pop()
        schema = as_object(node)
        yield path, schema
        for key, value in schema.items():
            waiting.extend(_inside(path, key, value))


def _inside(path: tuple[str, ...] | None, key: str, value: Any) -> list[tuple[tuple[str, ...] | None, Any]]:
    if key == "properties":
        return [(None if path is None else (*path, name), inner) for name, inner in as_object(value).items()]
    if key in _SINGLE:
        return [(None, value)]
    if key in _LISTS:
        return [(None, inner) for inner in as_list(value)]
    if key in _MAPS:
        return [(None, inner) for inner in as_object(value).values()]
    return []


def _at(arguments: JsonObject, path: tuple[str, ...]) -> object:
    node: object = dict(arguments)
    for key in path:
        node = as_object(node).get(key)
    return node


def _as_text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case _:
            return None
