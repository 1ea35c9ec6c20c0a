"""The OpenAPI document: what a route may reply beside its success, and that it wants a key. Knows no route by name.

A route describes its success alone; that a key is refused, a limit reached or a disk full is the same for all of them.
"""

from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any

from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import OpenAPI

from agent_api.access.gate import OPEN_PATHS
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
    409: "It cannot be done now, or the idempotency key was used for another request.",
    413: "The body, or what the model would have to read, is too large.",
}
_FRAMEWORKS_400 = HTTPStatus.BAD_REQUEST.description  # its own idea of 400 has this text
_ASKING = {502: "The model refused the request."}
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
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        paths: dict[str, dict[str, dict[str, Any]]] = document.get("paths", {})
        for path, methods in paths.items():
            for method, operation in methods.items():
                if path not in self.open_paths:
                    _complete(path, method, operation)
        return document


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
