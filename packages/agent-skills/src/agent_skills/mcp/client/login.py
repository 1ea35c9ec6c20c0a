"""`log_in`: a person logs in to an MCP server with a browser, once. Imports the `mcp` SDK: the extra `agent-skills[mcp]`.

What it gives is kept in a file, by which `kept_login` speaks to the server from then on.
"""

from collections.abc import Callable

import anyio
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from agent_skills.http import HttpClient
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.http import HttpChannel
from agent_skills.mcp.client.oauth import OAuth
from agent_skills.mcp.client.redirect import Redirect
from agent_skills.mcp.client.settings import McpServerSettings, OAuthSettings
from agent_skills.mcp.client.token_file import TokenFile
from agent_skills.mcp.errors import McpError, McpLoginError

CLIENT_NAME = "agent"
TIMEOUT_S = 600.0
"""How long a person may take."""


async def log_in(
    settings: McpServerSettings,
    file: TokenFile,
    show: Callable[[str], None],
    *,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Log in to a server, and keep the tokens in `file`; a login that fails leaves the one before.

    Args:
        settings: they have a URL, and `oauth` with the grant `login`.
        file: where the tokens are kept.
        show: is given the address that a person has to open in a browser of this machine.
        timeout_s: how long to wait for the person.

    Raises:
        McpLoginError: the login failed, was refused, took too long, or is not wanted by the server.
        McpError: there is no server.
    """
    oauth = settings.oauth or OAuthSettings()
    async with Redirect.listening(settings.name, oauth.port) as redirect:
        held = _Held(oauth, redirect.url)
        provider = _provider(settings, redirect, held, show)
        with anyio.move_on_after(timeout_s) as waited:
            await _connect(settings, provider)
    if waited.cancelled_caught:
        raise McpLoginError(settings.name, f"nobody logged in within {timeout_s:g} s")
    if held.tokens is None:
        raise McpLoginError(settings.name, "it wants no login: take `oauth` out of its settings")
    file.write(
        tokens=held.tokens.model_dump(mode="json", exclude_none=True),
        client=None if held.client is None else held.client.model_dump(mode="json", exclude_none=True),
    )


def _provider(
    settings: McpServerSettings, redirect: Redirect, held: "_Held", show: Callable[[str], None]
) -> OAuthClientProvider:
    async def send_person(url: str) -> None:
        redirect.expect(url)
        show(url)

    async def come_back() -> AuthorizationCodeResult:
        arrival = await redirect.arrival()
        return AuthorizationCodeResult(code=arrival.code, state=arrival.state, iss=arrival.issuer)

    return OAuthClientProvider(
        settings.url,
        OAuthClientMetadata(client_name=CLIENT_NAME, redirect_uris=[AnyUrl(redirect.url)]),
        held,
        redirect_handler=send_person,
        callback_handler=come_back,
    )


async def _connect(settings: McpServerSettings, provider: OAuthClientProvider) -> None:
    client = HttpClient(connect_timeout_s=settings.connect_timeout_s)
    channel = HttpChannel(
        settings.name,
        settings.url,
        client,
        headers=settings.headers,
        authentication=OAuth(provider, settings.name),
    )
    connection = McpConnection(settings.name, channel, revision=settings.revision)
    failed: McpError | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(connection.run)
            await connection.list_all("tools/list", "tools")  # some let everybody in, and ask only now
            tasks.cancel_scope.cancel()
    except* McpError as group:
        failed = next(iter(_leaves(group)))
    finally:
        with anyio.CancelScope(shield=True):
            await client.aclose()
    if failed is not None:
        raise failed


def _leaves(group: BaseExceptionGroup[McpError]) -> list[McpError]:
    return [
        leaf
        for one in group.exceptions
        for leaf in (_leaves(one) if isinstance(one, BaseExceptionGroup) else [one])
    ]


class _Held:
    """A `TokenStorage` of the SDK for as long as one login takes."""

    def __init__(self, oauth: OAuthSettings, redirect_url: str) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        if oauth.client_id:
            self.client = OAuthClientInformationFull(
                client_id=oauth.client_id,
                client_secret=oauth.client_secret or None,
                redirect_uris=[AnyUrl(redirect_url)],
                token_endpoint_auth_method="client_secret_basic" if oauth.client_secret else "none",
                issuer=oauth.issuer or None,
            )

    async def get_tokens(self) -> OAuthToken | None:
        """None at first: whoever logs in wants new ones."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """They came."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """What the settings say, or the registration of this login."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """We were registered."""
        self.client = client_info
