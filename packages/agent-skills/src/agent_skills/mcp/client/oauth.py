"""OAuth for servers that want it, by the `mcp` SDK: the extra `agent-skills[mcp]`. Imported only where it is used.

The SDK decides (discovery, registration, PKCE, issuers, scopes, refresh); its requests go through our transport.
"""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from agent_skills.http import HttpRequest
from agent_skills.mcp.client.http import HttpAnswer

if TYPE_CHECKING:
    import httpx2


class OAuth:
    """An `Authentication` by one of the SDK's providers, such as `mcp.client.auth.OAuthClientProvider`."""

    def __init__(self, provider: "httpx2.Auth") -> None:
        """`provider` belongs to one server; it keeps the tokens in the storage that it was given."""
        self._provider = provider

    async def flow(self, request: HttpRequest) -> AsyncGenerator[tuple[HttpRequest, bool], HttpAnswer]:
        """See `agent_skills.mcp.client.http.Authentication`."""
        import httpx2  # noqa: PLC0415 - the extra

        given = httpx2.Request(
            request.method, request.url, headers=dict(request.headers), content=request.body
        )
        flow = self._provider.async_auth_flow(given)
        try:
            outgoing = await anext(flow)
            while True:
                answer = yield _ours(outgoing), outgoing is given
                response = httpx2.Response(
                    answer.status, headers=dict(answer.headers), content=answer.body, request=outgoing
                )
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()


def _ours(request: "httpx2.Request") -> HttpRequest:
    headers = {
        name: value for name, value in request.headers.items() if name not in {"host", "content-length"}
    }
    return HttpRequest(method=request.method, url=str(request.url), headers=headers, body=request.content)
