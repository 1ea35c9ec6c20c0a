"""An MCP server and its authorization server, both by the `mcp` SDK, on two addresses; everybody who asks is let in.

Prints both addresses in a line of JSON and serves until its input ends. For tests:

    GET  /test/counts    how often what was asked for
    POST /test/expire    every access token runs out
    POST /test/revoke    and what renews it
    POST /test/deaf      no token is taken any more; asked again, they are
"""

import asyncio
import base64
import json
import os
import secrets
import socket
import sys
import time
from collections import Counter

import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

SCOPE = "tools"
MACHINE = ("robot", "s3cret/+")
"""The client of its own right, and its secret."""
KNOWN = "desk-client"
"""A client that is registered without registering itself."""


class Provider:
    """Keeps all in memory; a token that renews does so once."""

    def __init__(self):
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}
        self.counts = Counter()
        self.is_deaf = False

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client_info):
        self.counts["registered"] += 1
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client, params):
        self.counts["authorized"] += 1
        code = AuthorizationCode(
            code=secrets.token_urlsafe(16),
            scopes=params.scopes or [SCOPE],
            expires_at=time.time() + 60,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state)

    async def load_authorization_code(self, client, authorization_code):
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client, authorization_code):
        del self.codes[authorization_code.code]
        return self.grant(client.client_id, authorization_code.scopes, authorization_code.resource)

    async def load_refresh_token(self, client, refresh_token):
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        self.counts["renewed"] += 1
        del self.refresh[refresh_token.token]
        return self.grant(client.client_id, scopes, refresh_token.resource)

    async def load_access_token(self, token):
        return None if self.is_deaf else self.access.get(token)

    verify_token = load_access_token

    async def revoke_token(self, token):
        self.access.pop(token.token, None)

    def grant(self, client_id, scopes, resource, *, renews=True):
        access, refresh = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.access[access] = AccessToken(token=access, client_id=client_id, scopes=scopes, resource=resource)
        if renews:
            self.refresh[refresh] = RefreshToken(
                token=refresh, client_id=client_id, scopes=scopes, resource=resource
            )
        return OAuthToken(
            access_token=access, scope=" ".join(scopes), refresh_token=refresh if renews else None
        )


def machines_too(application, provider):
    """The SDK's token endpoint knows no client credentials: this one does."""

    async def serve(scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/token":
            return await application(scope, receive, send)
        message = await receive()
        fields = dict(pair.split("=", 1) for pair in message["body"].decode().split("&") if "=" in pair)
        if fields.get("grant_type") != "client_credentials":

            async def again():
                return message

            return await application(scope, again, send)
        provider.counts["machine"] += 1
        given = dict(scope["headers"]).get(b"authorization", b"").decode()
        name, secret = MACHINE
        wanted = f"{name}:{secret.replace('/', '%2F').replace('+', '%2B')}"
        if given != f"Basic {base64.b64encode(wanted.encode()).decode()}":
            return await JSONResponse({"error": "invalid_client"}, 401)(scope, receive, send)
        token = provider.grant(name, [SCOPE], None, renews=False)
        return await JSONResponse(token.model_dump(exclude_none=True))(scope, receive, send)

    return serve


def controls(provider):
    async def counts(_request):
        return JSONResponse(provider.counts)

    async def expire(_request):
        provider.access.clear()
        return JSONResponse({})

    async def revoke(_request):
        provider.access.clear()
        provider.refresh.clear()
        return JSONResponse({})

    async def deaf(_request):
        provider.is_deaf = not provider.is_deaf
        return JSONResponse({})

    return [
        Route("/test/deaf", deaf, methods=["POST"]),
        Route("/test/counts", counts),
        Route("/test/expire", expire, methods=["POST"]),
        Route("/test/revoke", revoke, methods=["POST"]),
    ]


def listener():
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    return opened, f"http://127.0.0.1:{opened.getsockname()[1]}"


async def main():
    (resource, url), (authority, issuer) = listener(), listener()
    provider = Provider()
    provider.clients[KNOWN] = OAuthClientInformationFull(
        client_id=KNOWN,
        redirect_uris=[f"http://127.0.0.1:{sys.argv[1]}/callback"] if len(sys.argv) > 1 else None,
        token_endpoint_auth_method="none",
        scope=SCOPE,
    )
    auth = AuthSettings(
        issuer_url=issuer,
        resource_server_url=f"{url}/mcp",
        required_scopes=[SCOPE],
        validate_token_resource=False,
    )
    server = MCPServer("guarded", token_verifier=provider, auth=auth)

    @server.tool()
    def add(a: int, b: int = 1) -> int:
        """Add two numbers."""
        return a + b

    options = ClientRegistrationOptions(enabled=True, valid_scopes=[SCOPE], default_scopes=[SCOPE])
    routes = create_auth_routes(provider, auth.issuer_url, client_registration_options=options)
    applications = (
        (server.streamable_http_app(), resource),
        (machines_too(Starlette(routes=[*routes, *controls(provider)]), provider), authority),
    )
    serving = [
        uvicorn.Server(uvicorn.Config(application, log_level="error", ws="none", lifespan="auto"))
        for application, _ in applications
    ]
    tasks = [
        asyncio.create_task(one.serve([opened]))
        for one, (_, opened) in zip(serving, applications, strict=True)
    ]
    while not all(one.started for one in serving):
        await asyncio.sleep(0.01)
    os.write(1, json.dumps({"url": f"{url}/mcp", "issuer": issuer}).encode() + b"\n")
    await asyncio.to_thread(sys.stdin.read)
    for one in serving:
        one.should_exit = True
    await asyncio.wait(tasks, timeout=5)


if __name__ == "__main__":
    asyncio.run(main())
