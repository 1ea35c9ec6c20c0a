"""What an operator says of one MCP server."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from agent_core.tools import ArgumentRole, FieldLabel, Label
from agent_skills.errors import SkillError
from agent_skills.isolation.egress import Egress
from agent_skills.isolation.sandbox import MEBIBYTE

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class OAuthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a server is logged in to."""

    grant: Literal["login", "client_credentials"] = "login"
    """`login`: a person logs in once, with a browser. `client_credentials`: this program is a client of its own right."""
    client_id: str = ""
    """As the authorization server knows us. Empty: we register ourselves, at each login."""
    client_secret: str = ""
    issuer: str = ""
    """The authorization server that the secret is for: it is sent nowhere else."""
    port: int = 0
    """Of this machine, where the browser comes back to. 0: a free one, which a client that is registered cannot have."""


class McpServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server: either a command that speaks over standard input and output, or a URL."""

    name: str
    """Lower-case letters, digits and single hyphens; the tools are called `NAME_TOOL`."""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    """What the process gets beside PATH, HOME and the locale. Nothing else of ours reaches it."""
    folder: Path | None = None
    """A folder of its own: where it stands, and all that it may write to in its sandbox."""
    sandbox: Literal["required", "none"] = "required"
    """`none`: its process has all the rights of this one. Else it runs at level 2, or not at all."""
    read: tuple[str, ...] = ()
    """Files and folders that it may read in its sandbox, besides its program, `/usr` and `folder`. Absolute paths."""
    egress: Egress = Egress()
    """The hosts that it may reach from its sandbox; none is the rule. Only bubblewrap can hold it to them."""
    memory_bytes: int = 2048 * MEBIBYTE
    """Of each of its processes in the sandbox."""
    url: str = ""
    headers: Mapping[str, str] = {}
    oauth: OAuthSettings | None = None
    """Where the URL wants OAuth (the extra `agent-skills[mcp]`)."""
    labels: tuple[Label, ...] = (Label.RETURNS_UNTRUSTED, Label.SENDS_OUT)
    """What a policy shall assume of every tool of it. A server's own hints are never believed."""
    roles: Mapping[str, Mapping[str, ArgumentRole]] = {}
    """By tool: what its arguments decide, such as which one is the destination."""
    fields: Mapping[str, Mapping[str, FieldLabel]] = {}
    """By tool: which fields of its results the server itself vouches for, or are secret."""
    idempotent: tuple[str, ...] = ()
    """Tools that may be called again with the same arguments."""
    deny: tuple[str, ...] = ()
    """Tools that are never mounted."""
    timeout_s: float = 60.0
    """Seconds of one call."""
    connect_timeout_s: float = 30.0
    revision: str = ""
    """The one revision to speak, for servers that mislead; empty: the newest that both know."""

    def __post_init__(self) -> None:
        """Hold that it can be used.

        Raises:
            SkillError: the name is none, there is not exactly one of command and URL, OAuth lacks something, or a path is
                not absolute.
        """
        if not _NAME.fullmatch(self.name) or len(self.name) > 32:
            raise SkillError(
                f"an MCP server cannot be called {self.name!r}: use lower-case letters, digits and -"
            )
        if bool(self.command) == bool(self.url):
            raise SkillError(f"MCP server {self.name!r} needs a command or a URL, and not both")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise SkillError(f"MCP server {self.name!r}: the URL must begin with https:// or http://")
        if self.oauth is not None and (wrong := _wrong_login(self.url, self.oauth)):
            raise SkillError(f"MCP server {self.name!r}: {wrong}")
        named = (*self.read, str(self.folder)) if self.folder else self.read
        if relative := [one for one in named if not Path(one).is_absolute()]:
            raise SkillError(f"MCP server {self.name!r}: {str(relative[0])!r} must be an absolute path")


def _wrong_login(url: str, oauth: OAuthSettings) -> str:
    """What is wrong with how a server is logged in to; empty: nothing."""
    where = urlsplit(url)
    if where.scheme != "https" and where.hostname not in _LOOPBACK:
        return "OAuth needs a URL with https://, for who reads a token may use it"
    if oauth.grant == "client_credentials" and not (oauth.client_id and oauth.client_secret and oauth.issuer):
        return "OAuth by client credentials needs client_id, client_secret and issuer"
    if oauth.client_secret and not oauth.client_id:
        return "OAuth with a client_secret needs its client_id"
    if oauth.client_id and oauth.grant == "login" and not oauth.port:
        return "OAuth with a client_id needs the port that the client is registered with: http://127.0.0.1:PORT/callback"
    return ""
