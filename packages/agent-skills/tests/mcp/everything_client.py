"""The client that the MCP conformance suite starts: `MCP_CONFORMANCE_SCENARIO` says what to do, the last argument where.

Exit code 0 where it did it. For the scenarios `auth/` the extra `agent-skills[mcp]` must be there.
"""

import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

import anyio

from agent_skills.http import HttpClient, HttpRequest
from agent_skills.mcp import headers
from agent_skills.mcp.client.connection import McpConnection
from agent_skills.mcp.client.http import HttpChannel
from agent_skills.mcp.client.hygiene import fault_of
from agent_skills.mcp.errors import McpError

SCENARIO = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
CONTEXT = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
ARGUMENTS = {"add_numbers": {"a": 5, "b": 3}}
REDIRECT = "http://localhost:3000/callback"


async def fill_in(_message, _schema):
    return {"confirmed": True} if SCENARIO.startswith("sep-2322") else {}


async def call_everything(connection):
    """List the tools, drop those that break the rules, call what is left."""
    for tool in await connection.list_all("tools/list", "tools"):
        if fault_of(tool) or SCENARIO == "json-schema-ref-no-deref":
            continue
        mirrored = headers.annotations(tool["inputSchema"])
        for arguments in arguments_for(tool):
            call = {"name": tool["name"], "arguments": arguments}
            await connection.call("tools/call", call, headers=headers.custom(mirrored, arguments))


def arguments_for(tool):
    wanted = [one["arguments"] for one in CONTEXT.get("toolCalls", ()) if one["name"] == tool["name"]]
    if wanted:
        return wanted
    samples = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "object": {}, "array": []}
    properties = tool["inputSchema"].get("properties", {})
    return [
        ARGUMENTS.get(tool["name"])
        or {name: samples.get(one.get("type"), "text") for name, one in properties.items()}
    ]


async def call_the_rest(connection):
    """What our library has no words for, said by hand: resources and prompts."""
    if "resources" in connection.capabilities:
        for one in await connection.list_all("resources/list", "resources"):
            await connection.call("resources/read", {"uri": one["uri"]})
    if "prompts" in connection.capabilities:
        for one in await connection.list_all("prompts/list", "prompts"):
            await connection.call("prompts/get", {"name": one["name"]})


async def echo_schema(connection):
    tools = {tool["name"]: tool for tool in await connection.list_all("tools/list", "tools")}
    echo = next(name for name in tools if "echo" in name)
    schema = next(tool for name, tool in tools.items() if name != echo)["inputSchema"]
    await connection.call("tools/call", {"name": echo, "arguments": {"schema": schema}})


class Tokens:
    def __init__(self):
        self.tokens = self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def authentication(url, client):
    from mcp.client.auth import OAuthClientProvider
    from mcp.client.auth.extensions.client_credentials import (
        ClientCredentialsOAuthProvider,
        PrivateKeyJWTOAuthProvider,
        SignedJWTParameters,
    )
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

    from agent_skills.mcp.client.oauth import OAuth

    storage = Tokens()
    if SCENARIO == "auth/client-credentials-jwt":
        signed = SignedJWTParameters(
            issuer=CONTEXT["client_id"],
            subject=CONTEXT["client_id"],
            signing_algorithm=CONTEXT.get("signing_algorithm", "ES256"),
            signing_key=CONTEXT["private_key_pem"],
        )
        return OAuth(
            PrivateKeyJWTOAuthProvider(
                server_url=url,
                storage=storage,
                client_id=CONTEXT["client_id"],
                assertion_provider=signed.create_assertion_provider(),
            )
        )
    if SCENARIO == "auth/client-credentials-basic":
        return OAuth(
            ClientCredentialsOAuthProvider(
                server_url=url,
                storage=storage,
                client_id=CONTEXT["client_id"],
                client_secret=CONTEXT["client_secret"],
                token_endpoint_auth_method="client_secret_basic",
            )
        )
    if CONTEXT.get("client_id"):
        storage.client = OAuthClientInformationFull(
            client_id=CONTEXT["client_id"],
            client_secret=CONTEXT.get("client_secret"),
            redirect_uris=[REDIRECT],
            token_endpoint_auth_method="client_secret_basic" if CONTEXT.get("client_secret") else "none",
        )
    location = []

    async def visit(authorization_url):
        """What a person with a browser does."""
        async with client.send(HttpRequest(method="GET", url=authorization_url)) as reply:
            location[:] = [reply.headers["location"]]

    async def come_back():
        query = {key: values[0] for key, values in parse_qs(urlsplit(location[0]).query).items()}
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))

    return OAuth(
        OAuthClientProvider(
            server_url=url,
            client_metadata=OAuthClientMetadata(
                client_name="conformance-client",
                redirect_uris=[REDIRECT],
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
            ),
            storage=storage,
            redirect_handler=visit,
            callback_handler=come_back,
            client_metadata_url="https://conformance-test.local/client-metadata.json",
        )
    )


async def main(url):
    client = HttpClient(connect_timeout_s=60)  # the suite starts forty clients at once
    auth = authentication(url, client) if SCENARIO.startswith("auth/") else None
    connection = McpConnection(
        "conformance",
        HttpChannel("conformance", url, client, authentication=auth),
        ask_person=fill_in,
        revision=os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", ""),
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(connection.run)
        if SCENARIO == "json-schema-2020-12-preservation":
            await echo_schema(connection)
        else:
            await call_everything(connection)
            await call_the_rest(connection)
        tasks.cancel_scope.cancel()
    await client.aclose()


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[-1])
    except* McpError as group:
        sys.exit(f"{group.exceptions}")
