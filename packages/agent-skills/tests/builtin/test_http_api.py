"""Skills of an HTTP API, over a real server on loopback."""

import importlib.util
from pathlib import Path

import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin.http_api import HttpApiAuth, HttpApiPlugin, HttpApiSettings
from agent_skills.errors import SkillError

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="once")
HERE = Path(__file__).parent.parent / "web" / "conftest.py"
spec = importlib.util.spec_from_file_location("web_servers", HERE)
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
DOCUMENT = {
    "openapi": "3.0.3",
    "paths": {
        "/pets/{id}": {
            "parameters": [ID],
            "get": {"operationId": "getPet", "summary": "Get a pet"},
            "delete": {"operationId": "deletePet"},
        },
        "/pets": {"post": {"operationId": "addPet"}},
    },
}


def plugin(port, secret=lambda _name: "hunter22", **settings):
    settings = HttpApiSettings(
        name="zoo", url=f"http://127.0.0.9:{port}/v1", networks=("127.0.0.9/32",), **settings
    )
    return HttpApiPlugin(settings, DOCUMENT, secret)


async def call(plugin, name, **arguments):
    registry = SkillRegistry()
    registry.register("zoo", plugin)
    made = ToolCall(tool_call_id="1", name=name, arguments=arguments)
    return await SkillRunner(registry).run(made, CONTEXT)


async def test_an_operation_is_a_skill():
    async with servers.raw_server(lambda path, _head: servers.reply(path.encode())) as (port, requests):
        result = await call(plugin(port), "zoo_getPet", id=7)
        assert (result.content, result.labels) == ("/v1/pets/7", (Label.RETURNS_UNTRUSTED, Label.SENDS_OUT))
        wrong = await call(plugin(port), "zoo_getPet", id="seven", more=1)
        assert wrong.error == "invalid_arguments"
        assert len(requests) == 1


async def test_what_writes_is_there_only_by_name():
    registry = SkillRegistry()
    assert registry.register("zoo", plugin(1)) == ("zoo_getPet",)
    named = plugin(1, operations=("deletePet", "addPet"))
    registry = SkillRegistry()
    assert registry.register("zoo", named) == ("zoo_deletePet", "zoo_addPet")
    assert Label.DESTROYS in registry.get("zoo_deletePet").spec.labels
    assert registry.get("zoo_deletePet").spec.idempotent
    assert not registry.get("zoo_addPet").spec.idempotent
    with pytest.raises(SkillError, match="no operation burnZoo"):
        plugin(1, operations=("burnZoo",))


@pytest.mark.parametrize(
    ("auth", "sign"),
    [
        (HttpApiAuth(kind="bearer", secret="k"), "authorization: bearer hunter22"),
        (HttpApiAuth(kind="basic", secret="k"), "authorization: basic ahvudgvymji="),
        (HttpApiAuth(kind="header", secret="k", field="X-Key"), "x-key: hunter22"),
        (HttpApiAuth(kind="query", secret="k", field="key"), "?key=hunter22"),
    ],
)
async def test_the_key_goes_to_the_api_and_to_nobody_else(auth, sign):
    async with servers.raw_server(lambda path, head: servers.reply((path + head).encode())) as (
        port,
        requests,
    ):
        result = await call(plugin(port, auth=auth), "zoo_getPet", id=7)
        assert sign in requests[0].lower()
        assert "hunter22" not in result.content.lower()  # the server said it back
    gone = await call(plugin(port, auth=auth), "zoo_getPet", id=7)
    assert gone.error == "unreachable"
    assert "hunter22" not in gone.content


async def test_without_the_key_nobody_is_asked():
    auth = HttpApiAuth(kind="bearer", secret="zoo_key")
    result = await call(plugin(1, auth=auth, secret=lambda _name: None), "zoo_getPet", id=7)
    assert result.error == "no_secret"
    with pytest.raises(SkillError, match="field"):
        HttpApiAuth(kind="header", secret="k")


async def test_the_api_cannot_send_us_elsewhere():
    def redirect(_path, _head):
        return servers.reply(status="302 Found", location="http://127.0.0.1/")

    async with servers.raw_server(redirect) as (port, _):
        assert (await call(plugin(port), "zoo_getPet", id=7)).error == "address_refused"


async def test_errors_are_for_the_model_and_a_repeated_post_is_marked():
    async with servers.raw_server(lambda _path, _head: servers.reply(b"no such pet", status="404 Gone")) as (
        port,
        requests,
    ):
        result = await call(plugin(port), "zoo_getPet", id=7)
        assert (result.error, result.content) == ("http_status", "HTTP 404: no such pet")
        await call(plugin(port, operations=("addPet",)), "zoo_addPet")
        assert "idempotency-key: once" in requests[1].lower()


def test_an_api_without_a_place_is_refused():
    with pytest.raises(SkillError, match="say where it is"):
        HttpApiPlugin(HttpApiSettings(name="zoo"), DOCUMENT, lambda _name: None)
