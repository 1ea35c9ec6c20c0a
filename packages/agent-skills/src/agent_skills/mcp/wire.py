"""JSON-RPC as MCP uses it: messages, codes, revisions and the keys of `_meta`. Pure.

Source: modelcontextprotocol.io/specification, revisions 2026-07-28 (stateless) and 2025-11-25 (with a handshake).
"""

from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_object
from agent_skills.mcp.errors import McpRefusedError

STATELESS: Final = ("2026-07-28",)
"""Revisions in which every request says what it needs to be understood, newest first."""
HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Revisions that begin with `initialize`, newest first. The last two differ in nothing that tools use."""

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024

RequestId: TypeAlias = int | str


class Code(IntEnum):
    """Codes of errors."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    HEADER_MISMATCH = -32020
    MISSING_CAPABILITY = -32021
    UNSUPPORTED_VERSION = -32022


HTTP_STATUS = MappingProxyType(
    {
        Code.PARSE: 400,
        Code.INVALID_REQUEST: 400,
        Code.INVALID_PARAMS: 400,
        Code.HEADER_MISMATCH: 400,
        Code.MISSING_CAPABILITY: 400,
        Code.UNSUPPORTED_VERSION: 400,
        Code.METHOD_NOT_FOUND: 404,
    }
)
"""The HTTP status of an error of the stateless revision; any other code is 200."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The error of a response."""

    code: int
    message: str
    data: Any | UnsetType = UNSET


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A request, a notification or a response."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: RequestId | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET
    result: dict[str, Any] | UnsetType = UNSET
    error: Fault | UnsetType = UNSET

    @property
    def is_request(self) -> bool:
        """True where an answer is wanted."""
        return self.method is not UNSET and self.id is not UNSET and self.id is not None

    @property
    def is_response(self) -> bool:
        """True where it answers a request."""
        return self.method is UNSET and (self.result is not UNSET or self.error is not UNSET)

    @property
    def name(self) -> str:
        """The method; empty for a response."""
        return "" if self.method is UNSET else self.method

    @property
    def given(self) -> dict[str, Any]:
        """The parameters; none is an empty object."""
        return {} if self.params is UNSET else self.params

    @property
    def meta(self) -> dict[str, Any]:
        """`_meta` of the parameters, where it is an object."""
        return as_object(self.given.get("_meta"))


_DECODER = msgspec.json.Decoder(Message)
_ENCODER = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """One message as JSON, without a line feed in it."""
    return _ENCODER.encode(message)


def decode(data: bytes | str) -> Message:
    """One message.

    Raises:
        McpRefusedError: it is no JSON (`PARSE`), or no message (`INVALID_REQUEST`).
    """
    try:
        message = _DECODER.decode(data)
    except msgspec.ValidationError as error:
        raise McpRefusedError(Code.INVALID_REQUEST, f"no JSON-RPC message: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise McpRefusedError(Code.PARSE, f"no JSON: {error}") from None
    if message.method is UNSET and not message.is_response:
        raise McpRefusedError(Code.INVALID_REQUEST, "neither a method nor a result nor an error")
    return message


def id_in(data: bytes) -> RequestId | None:
    """The id of a request that was refused, where it can be read at all."""
    try:
        message = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return message.id if isinstance(message.id, int | str) else None


def request(request_id: RequestId, method: str, params: JsonObject | None = None) -> Message:
    """A request."""
    return Message(id=request_id, method=method, params=UNSET if params is None else dict(params))


def notification(method: str, params: JsonObject | None = None) -> Message:
    """A notification: nobody answers."""
    return Message(method=method, params=UNSET if params is None else dict(params))


def response(request_id: RequestId | None, result: JsonObject) -> Message:
    """The result of a request."""
    return Message(id=request_id, result=dict(result))


def failure(request_id: RequestId | None, code: int, message: str, data: JsonObject | None = None) -> Message:
    """The error of a request."""
    fault = Fault(code=code, message=message, data=UNSET if data is None else dict(data))
    return Message(id=request_id, error=fault)


def failure_of(request_id: RequestId | None, error: McpRefusedError) -> Message:
    """An exception as the error of a request."""
    return failure(request_id, error.code, str(error), error.data)
