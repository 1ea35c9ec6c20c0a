"""The OpenAPI document: what a route may reply beside its success, and that it wants a key. Knows no route by name.

A route describes its success alone; that a key is refused, a limit reached or a disk full is the same for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any, cast

from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import OpenAPI

from agent_api.access.gate import OPEN_PATHS
from agent_api.examples import by_schema
from agent_api.problems import OPENAI_PATH, PROBLEM_JSON

_ALWAYS = {
    400: "The request is not understood.",
    401: "No key came along, or none that is valid.",
    403: "The key lacks the scope of this route.",
    404: "Nothing of that name is there for this key.",
    429: "The key is over a limit; `Retry-After` says when to come back.",
    503: "Too much is under way, or the model is away; `Retry-After` says when to come back.",
    507: "The disk is full.",
}
_WRITING = {
    409: "It cannot be done now, or a request of the same idempotency key is still under way.",
    413: "The body, or what the model would have to read, is too large.",
    422: "The idempotency key was used for another request.",
}
_FRAMEWORKS_400 = HTTPStatus.BAD_REQUEST.description  # its own idea of 400 has this text
_ASKING = {502: "The model refused the request."}
_PARAMETERS = {
    "run_id": "The id of a run.",
    "other_id": "The id of the run to compare with.",
    "session_id": "The id of a session.",
    "webhook_id": "The id of a webhook.",
    "message_id": "The id of a message, as `webhook-id` had it.",
    "schedule_id": "The id of a schedule.",
    "key_id": "The id of a key, which is no secret.",
    "ingest_id": "The id of an ingest.",
    "import_id": "The id of an import.",
    "response_id": "The id of a response.",
    "conversation_id": "The id of a conversation.",
    "item_id": "The id of an item.",
    "model": "The name of a model, as the list has it.",
    "name": "Its name.",
    "limit": "How many at most.",
    "order": "The oldest first, or the newest.",
}
"""What a parameter is, where its route does not say."""
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:agentd:run-not-found"]},
        "title": {"type": "string", "examples": ["run not found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["the journal knows no run 'run_1'"]},
    },
}
_FAILURE: dict[str, Any] = {
    "type": "object",
    "title": "Failure",
    "description": "What went wrong, as OpenAI's clients read it.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string", "examples": ["invalid_request_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


@dataclass
class Description(OpenAPIConfig):
    """The framework's configuration, for a document that is complete."""

    open_paths: frozenset[str] = OPEN_PATHS
    """What is answered without a key."""

    def to_openapi_schema(self) -> OpenAPI:
        """The document without its paths, which the framework puts in."""
        begun = super().to_openapi_schema()
        whole = _Document(**{field.name: getattr(begun, field.name) for field in fields(begun)})
        whole.open_paths = self.open_paths
        return whole


@dataclass
class _Document(OpenAPI):
    """Completed when it is read: only then are the paths there."""

    open_paths = OPEN_PATHS  # no field: those are what is written

    def to_schema(self) -> dict[str, Any]:
        document = super().to_schema()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update({"Problem": _PROBLEM, "Failure": _FAILURE})
        _without_dots(components["schemas"])
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        paths: dict[str, dict[str, dict[str, Any]]] = document.get("paths", {})
        shown = by_schema()
        for path, methods in paths.items():
            for method, operation in methods.items():
                _describe(operation)
                _name_streams(operation)
                if path not in self.open_paths:
                    _complete(path, method, operation)
                _show(operation, shown)
        return document


def _without_dots(schema: object) -> None:
    """The framework takes the dots of `tuple[X, ...]` for a second kind of item, which is none, and so allows nothing."""
    if isinstance(schema, list):
        for one in cast("list[object]", schema):
            _without_dots(one)
    elif isinstance(schema, dict):
        fields = cast("dict[str, object]", schema)
        items = fields.get("items")
        kinds = cast("dict[str, object]", items).get("oneOf") if isinstance(items, dict) else None
        if isinstance(kinds, list) and {} in cast("list[object]", kinds):
            fields["items"] = cast("list[object]", kinds)[0]
        for one in fields.values():
            _without_dots(one)


def _describe(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if not parameter.get("description") and parameter["name"] in _PARAMETERS:
            parameter["description"] = _PARAMETERS[parameter["name"]]


def _show(operation: dict[str, Any], shown: Mapping[str, Any]) -> None:
    """Put the examples in, by what a body or a reply is."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in part.get("content", {}).values():
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name in shown:
                content["examples"] = {"example": {"value": shown[name]}}


def _name_streams(operation: dict[str, Any]) -> None:
    """What answers with an object or a stream has no schema of the framework's: it says of neither."""
    content = operation["responses"].get("200", {}).get("content", {})
    if content.get("application/json", {}).get("schema") == {}:
        content["text/event-stream"] = {"schema": {"description": "Server-sent events."}}


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    compatible = path.startswith(OPENAI_PATH)
    shape = "Failure" if compatible else "Problem"
    media_type = "application/json" if compatible else PROBLEM_JSON
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    replies = _ALWAYS | (_WRITING if method != "get" else {}) | (_ASKING if compatible else {})
    own = {
        status for status, reply in operation["responses"].items() if reply["description"] != _FRAMEWORKS_400
    }
    operation["responses"].get("204", {}).pop("content", None)  # the framework lists one that never comes
    operation["security"] = [{"key": []}]
    operation["responses"].update(
        {
            str(status): {"description": text, "content": content}
            for status, text in replies.items()
            if str(status) not in own
        }
    )
