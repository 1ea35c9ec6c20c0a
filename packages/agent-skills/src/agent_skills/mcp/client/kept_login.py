"""`KeptLogin`: a server that wants OAuth, by the tokens of a file. Imports the `mcp` SDK: the extra `agent-skills[mcp]`.

A request goes out with the token that the file has now, so a login of another process counts at once, and no call waits for
another. A token that the server refuses is renewed once, whoever noticed, by the SDK; who cannot renew says what to do.
"""

import contextlib
from collections.abc import AsyncGenerator

import httpx2
import msgspec
from mcp.client.auth import OAuthClientProvider, OAuthFlowError, OAuthTokenError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from agent_skills.http import HttpRequest
from agent_skills.mcp.client.http import HttpAnswer
from agent_skills.mcp.client.oauth import answer_to_sdk, failures_of, of_sdk, to_sdk
from agent_skills.mcp.client.settings import McpServerSettings, OAuthSettings
from agent_skills.mcp.client.token_file import Held, TokenFile
from agent_skills.mcp.errors import McpLoginError


class KeptLogin:
    """An `Authentication` for one server."""

    def __init__(self, settings: McpServerSettings, file: TokenFile) -> None:
        """`settings` have a URL and `oauth`."""
        self._name = settings.name
        self._url = settings.url
        self._oauth = settings.oauth or OAuthSettings()
        self._file = file

    async def flow(self, request: HttpRequest) -> AsyncGenerator[tuple[HttpRequest, bool], HttpAnswer]:
        """See `agent_skills.mcp.client.http.Authentication`.

        Raises:
            McpLoginError: nobody has logged in, or the login is not valid any more.
        """
        held = self._file.read()
        if not held.access_token and self._oauth.grant == "login":
            raise McpLoginError(self._name, f"it wants a login (OAuth); {self._advice()}")
        answer = yield _bearing(request, held), True
        if answer.status != 401:
            self._check(answer)
            return
        async with self._file.locked():
            if self._file.read().access_token == held.access_token:  # else another has renewed it meanwhile
                given = to_sdk(request)
                async with contextlib.aclosing(self._provider().async_auth_flow(given)) as flow:
                    with failures_of(self._name):
                        outgoing = await anext(flow)
                        while (
                            outgoing := await flow.asend(answer_to_sdk(answer, outgoing))
                        ) is not given:  # which it is once there is a token
                            answer = yield of_sdk(outgoing), False
        self._check((yield _bearing(request, self._file.read()), True))

    def _check(self, answer: HttpAnswer) -> None:
        """Hold that the server takes the token."""
        if answer.status == 401:
            raise McpLoginError(self._name, f"it refuses the token that is valid now; {self._advice()}")
        if answer.status == 403 and "insufficient_scope" in answer.headers.get("www-authenticate", ""):
            raise McpLoginError(self._name, f"it wants more rights than the login has; {self._advice()}")

    def _advice(self) -> str:
        return f"log in with `agent mcp login {self._name}`, or by `log_in` of agent_skills.mcp.client.login"

    def _provider(self) -> OAuthClientProvider:
        storage = FileStorage(self._file)
        if self._oauth.grant == "login":
            return _Renewing(self._url, storage, self._advice())
        return ClientCredentialsOAuthProvider(
            server_url=self._url,
            storage=storage,
            client_id=self._oauth.client_id,
            client_secret=self._oauth.client_secret,
            issuer=self._oauth.issuer,
        )


class FileStorage:
    """A `TokenStorage` of the SDK over a file."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def get_tokens(self) -> OAuthToken | None:
        """The tokens, where there are any."""
        tokens = self._file.read().tokens
        return None if tokens is None else OAuthToken.model_validate(tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep tokens; how we are known stays."""
        self._file.write(
            tokens=tokens.model_dump(mode="json", exclude_none=True), client=self._file.read().client
        )

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """How the authorization server knows us."""
        client = self._file.read().client
        return None if client is None else OAuthClientInformationFull.model_validate(client)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """A registration without a login is of no use: `log_in` keeps both."""

    def drop_tokens(self) -> None:
        """They are not valid any more."""
        self._file.write(tokens=None, client=self._file.read().client)


class _Renewing(OAuthClientProvider):
    """Where the SDK would send a person to log in, this renews what the last login gave; it asks nobody."""

    def __init__(self, url: str, storage: FileStorage, advice: str) -> None:
        super().__init__(url, OAuthClientMetadata(redirect_uris=None), storage)
        self._files = storage
        self._advice = advice

    async def _perform_authorization(self) -> httpx2.Request:
        tokens = self.context.current_tokens
        if tokens is None or not tokens.refresh_token or self.context.client_info is None:
            self._files.drop_tokens()
            raise OAuthFlowError(f"it has run out, and cannot be renewed; {self._advice}")
        return await self._refresh_token()

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        if await self._handle_refresh_response(response):
            return
        if response.status_code in {400, 401}:  # else it may pass
            self._files.drop_tokens()
        raise OAuthTokenError(
            f"the authorization server does not renew it (HTTP {response.status_code}); {self._advice}"
        )


def _bearing(request: HttpRequest, held: Held) -> HttpRequest:
    if not held.access_token:
        return request
    headers = {**request.headers, "authorization": f"Bearer {held.access_token}"}
    return msgspec.structs.replace(request, headers=headers)
