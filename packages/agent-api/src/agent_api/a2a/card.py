"""The agent card: how the daemon is spoken to, and, for who has a key, what its agent can do. Pure."""

from collections.abc import Iterable

from agent_api import __version__
from agent_api.a2a.shapes import Revision
from agent_core.json_types import JsonObject
from agent_core.tools import ToolSpec

PATH = "/.well-known/agent-card.json"
_MODES = ["text/plain", "application/json"]
_SEEN = ("image/png", "image/jpeg", "application/pdf")

_NO_SCOPES: list[str] = []
"""A key is a bearer token: scopes are for OAuth."""


def card(url: str, skills: Iterable[tuple[str, ToolSpec]] = (), *, sees: bool = False) -> JsonObject:
    """The card, in words of both revisions: who reads one passes over the other's.

    Args:
        url: Where messages are sent.
        skills: Plugins with the skills that they bring; none: the card that everybody may see.
        sees: Whether the model looks at pictures, and documents with them.
    """
    listed = [
        {"id": spec.name, "name": spec.name, "description": spec.description, "tags": [plugin]}
        for plugin, spec in skills
    ]
    talk = {"id": "agent", "name": "agent", "description": "Does what a message asks.", "tags": ["agent"]}
    return {
        "name": "agentd",
        "description": "An agent on its owner's own machine.",
        "version": __version__,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": revision.value}
            for revision in Revision
        ],
        "capabilities": {"streaming": True, "pushNotifications": True, "extendedAgentCard": True},
        "securitySchemes": {
            "key": {"httpAuthSecurityScheme": {"scheme": "Bearer"}, "type": "http", "scheme": "bearer"}
        },
        "securityRequirements": [{"schemes": {"key": {"list": _NO_SCOPES}}}],
        "defaultInputModes": [*_MODES, *(_SEEN if sees else ())],
        "defaultOutputModes": ["text/plain"],
        "skills": [talk, *listed],
        # What follows is revision 0.3's.
        "url": url,
        "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "security": [{"key": _NO_SCOPES}],
        "supportsAuthenticatedExtendedCard": True,
    }
