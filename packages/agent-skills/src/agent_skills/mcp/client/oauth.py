"""OAuth for servers that want it, by the `mcp` SDK: the extra `agent-skills[mcp]`. Imported only where it is used.

The SDK decides (discovery, registration, PKCE, issuers, scopes, refresh); its requests go through our transport.
"""

import contextlib
import logging
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent_skills.http import HttpRequest
from agent_skills.mcp.client.http import HttpAnswer
from agent_skills.mcp.errors import McpLoginError

if TYPE_CHECKING:
    import httpx2


class OAuth:
    """An `Authentication` by one of the SDK's providers, such as `mcp.client.auth.OAuthClientProvider`."""

    def __init__(self, provider: "httpx2.Auth", server: str = "") -> None:
        """`provider` belongs to one server; it keeps the tokens in the storage that it was given. `server` is what that
        one is called in messages, by default its host.
        """
        self._provider = provider
        self._server = server

    async def flow(self, request: HttpRequest) -> AsyncGenerator[tuple[HttpRequest, bool], HttpAnswer]:
        """See `agent_skills.mcp.client.http.Authentication`.

        Raises:
            McpLoginError: the provider could not log in.
        """
        given = to_sdk(request)
        async with contextlib.aclosing(self._provider.async_auth_flow(given)) as flow:
            with failures_of(self._server or urlsplit(request.url).netloc):
                outgoing: httpx2.Request | None = await anext(flow)
                while outgoing is not None:
                    answer = yield of_sdk(outgoing), outgoing is given
                    try:
                        outgoing = await flow.asend(answer_to_sdk(answer, outgoing))
                    except StopAsyncIteration:
                        outgoing = None


@contextlib.contextmanager
def failures_of(server: str) -> Generator[None]:
    """What the SDK raises, as errors of ours.

    Raises:
        McpLoginError: a login failed, or what an authorization server said cannot be read.
    """
    from mcp.client.auth import OAuthFlowError  # noqa: PLC0415 - the extra

    logging.getLogger("mcp.client.auth.oauth2").addFilter(_is_not_told)
    try:
        yield
    except (OAuthFlowError, ValueError) as error:
        # What a server says is shown to a person, and is not to fill the screen.
        raise McpLoginError(server, f"the login (OAuth) failed: {str(error)[:500]}") from error


def _is_not_told(record: logging.LogRecord) -> bool:
    """The SDK logs a traceback of what it raises as well, and that is told by whoever catches it."""
    return record.msg != "OAuth flow error"


def to_sdk(request: HttpRequest) -> "httpx2.Request":
    """A request of ours, for the SDK to look at."""
    import httpx2  # noqa: PLC0415 - the extra

    return httpx2.Request(request.method, request.url, headers=dict(request.headers), content=request.body)


def answer_to_sdk(answer: HttpAnswer, request: "httpx2.Request") -> "httpx2.Response":
    """What came back for a request."""
    import httpx2  # noqa: PLC0415 - the extra

    return httpx2.Response(answer.status, headers=dict(answer.headers), content=answer.body, request=request)


def of_sdk(request: "httpx2.Request") -> HttpRequest:
    """A request of the SDK, for our transport to send."""
    headers = {
        name: value for name, value in request.headers.items() if name not in {"host", "content-length"}
    }
    return HttpRequest(method=request.method, url=str(request.url), headers=headers, body=request.content)
