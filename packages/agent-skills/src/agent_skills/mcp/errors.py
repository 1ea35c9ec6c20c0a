"""The errors of MCP, below `SkillError`.

McpError                     the root
├── McpUnavailableError      no connection, or it broke; the same may work later
│   └── McpLoginError        the server wants a login that is not there, or is not valid any more
├── McpRefusedError          the other side answered with an error, or is to be: the code says which
├── McpProtocolError         the other side does not speak MCP, or no revision that we speak
└── PinsUnreadableError      the file of approved tools cannot be read: nothing is mounted
"""

from agent_core.json_types import JsonObject
from agent_skills.errors import SkillError


class McpError(SkillError):
    """The root of the errors of MCP."""


class McpUnavailableError(McpError):
    """No connection to a server, or it broke."""

    retryable = True

    def __init__(self, server: str, problem: str) -> None:
        super().__init__(f"MCP server {server!r}: {problem}")
        self.server = server
        self.problem = problem


class McpLoginError(McpUnavailableError):
    """A server wants OAuth, and what is kept for it does not do. A person has to act; nothing passes by itself."""

    retryable = False


class McpRefusedError(McpError):
    """A JSON-RPC error: received from a server, or raised by a method of ours to be sent to a client."""

    def __init__(self, code: int, message: str, data: JsonObject | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class McpProtocolError(McpError):
    """The other side does not keep to the protocol."""

    def __init__(self, server: str, problem: str) -> None:
        super().__init__(f"MCP server {server!r} does not keep to the protocol: {problem}")
        self.server = server
        self.problem = problem


class PinsUnreadableError(McpError):
    """The file of approved tools cannot be read. Nothing is mounted: what was approved is not known."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"the file of approved MCP tools {path!r} cannot be read: {problem}; restore it, or remove it to approve all anew"
        )
        self.path = path
