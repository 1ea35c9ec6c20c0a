"""JSON-RPC over HTTP as the OpenAPI document describes it: one address, whose messages say what they want."""

from dataclasses import dataclass
from typing import Any, ClassVar

from litestar.openapi.spec import (
    Example,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)

from agent_api.problems import PROBLEM_JSON

JSON = "application/json"
STREAM = "text/event-stream"
TEXT = "text/plain"

_MESSAGE = Schema(
    type=OpenAPIType.OBJECT,
    title="Message",
    description="A message of JSON-RPC 2.0.",
    properties={
        "jsonrpc": Schema(const="2.0"),
        "id": Schema(type=[OpenAPIType.STRING, OpenAPIType.INTEGER, OpenAPIType.NULL]),
        "method": Schema(type=OpenAPIType.STRING),
        "params": Schema(type=OpenAPIType.OBJECT),
        "result": Schema(type=OpenAPIType.OBJECT),
        "error": Schema(
            type=OpenAPIType.OBJECT,
            required=["code", "message"],
            properties={
                "code": Schema(type=OpenAPIType.INTEGER),
                "message": Schema(type=OpenAPIType.STRING),
            },
        ),
    },
    required=["jsonrpc"],
)
_PROBLEM = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT, description="A problem (RFC 9457)."))


@dataclass
class JsonRpcOperation(Operation):
    """An operation whose body and replies are messages. Subclasses say which replies there are, and show examples."""

    replies: ClassVar[dict[int, tuple[str, tuple[str, ...]]]] = {}
    """What a status means, and the media types that it comes in."""
    examples: ClassVar[dict[str, dict[str, Any]]] = {}
    """Requests, by what they are for; none: there is no body."""

    def __post_init__(self) -> None:
        """Put the messages in."""
        shown: dict[str, Example | Reference] = {
            name: Example(summary=name, value=value) for name, value in self.examples.items()
        }
        body = OpenAPIMediaType(schema=_MESSAGE, examples=shown)
        self.request_body = RequestBody(content={JSON: body}, required=True) if shown else None
        self.responses = {
            str(status): OpenAPIResponse(description=text, content={kind: _content(kind) for kind in kinds})
            for status, (text, kinds) in self.replies.items()
        }


def _content(kind: str) -> OpenAPIMediaType:
    if kind == PROBLEM_JSON:
        return _PROBLEM
    return OpenAPIMediaType(schema=_MESSAGE if kind == JSON else Schema(type=OpenAPIType.STRING))
