"""Built-in skills that the settings switch on: off by default, with real walls and servers, and said where they cannot be."""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from agent_api import builtin_skills
from agent_api.cli import app
from agent_api.composition import Machine, open_skills, open_tenant
from agent_api.doctor import Verdict, examine
from agent_api.errors import SettingsError
from agent_api.settings import BuiltinSkillSettings, Settings
from agent_core.policy import Rules
from agent_core.policy import Verdict as Ruling
from agent_core.ports import ToolContext
from agent_core.state import Phase
from agent_core.testing import ScriptedModel, answer, call
from agent_core.tools import Label, ToolCall
from agent_skills import Levels, probe
from agent_skills.isolation.levels import LevelReport
from agent_skills.needs import Level

CONTEXT = ToolContext(run_id="run", session_id="session", idempotency_key="key")
NO_SANDBOX = Levels(reports=(LevelReport(level=Level.SANDBOX, mechanism="bubblewrap", available=False),))
SKILL = "---\nname: notes\ndescription: Write notes.\n---\nSay who was there.\n"
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {"/stock": {"get": {"operationId": "stock", "description": "What is there.", "responses": {}}}},
}
needs_trafilatura = pytest.mark.skipif(
    find_spec("trafilatura") is None, reason="trafilatura is not installed"
)
needs_monty = pytest.mark.skipif(find_spec("pydantic_monty") is None, reason="Monty is not installed")


@pytest.fixture
def workspace(tmp_path):
    """A folder that programs may write to, which are never run as root."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 1000, 1000)
    tmp_path.chmod(0o755)
    return folder


@pytest.fixture
async def levels():
    found = await probe()
    if not found.has(Level.SANDBOX):
        pytest.skip(f"no sandbox here: {found.missing(Level.SANDBOX)}")
    return found


@asynccontextmanager
async def web(body, content_type="text/plain"):
    """A web server on loopback that answers all with `body`; its port, and the heads of what it was asked."""
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


def made(workspace, levels=None, **builtin):
    settings = Settings(
        data_dir=str(workspace.parent / "data"),
        workspace=str(workspace),
        plugins=False,
        builtin=BuiltinSkillSettings(**builtin),
    )
    return open_skills(settings, levels)


def names(skills):
    return {spec.name for _, spec in skills.listed()}


async def called(skills, name, **arguments):
    try:
        return await skills.runner.run(ToolCall(tool_call_id="1", name=name, arguments=arguments), CONTEXT)
    finally:
        await skills.aclose()


async def ran(workspace, levels, rules):
    """The state of a run whose model calls `shell`."""
    chosen = Settings(plugins=False, builtin=BuiltinSkillSettings(shell=True), policy=rules)
    model = ScriptedModel([call("shell", {"command": "echo 6 7 > numbers; cat numbers"}), answer("done")])
    machine = Machine(settings=chosen, model=model, levels=levels)
    async with open_tenant(machine, workspace.parent / "data", str(workspace)) as agent:
        return await agent.runner.run("count")


def test_nothing_of_the_web_and_no_program_is_there_unless_it_is_switched_on(workspace):
    off = {"fetch", "web_search", "shell", "python", "run_code", "skill_script"}
    assert not names(made(workspace)) & off


@needs_trafilatura
async def test_a_page_is_fetched_from_where_the_settings_let_it(workspace):
    async with web(b"the moon is full") as (port, _):
        url = f"http://127.0.0.1:{port}/"
        given = {"networks": ["127.0.0.1/32"], "ports": [port]}
        assert "the moon is full" in (await called(made(workspace, fetch=given), "fetch", url=url)).content
        assert (await called(made(workspace, fetch=True), "fetch", url=url)).error == "address_refused"


async def test_the_web_is_searched_by_a_searxng_wherever_it_listens(workspace):
    found = {"results": [{"title": "Moon", "url": "https://example.org/moon", "content": "full"}]}
    async with web(json.dumps(found).encode()) as (port, asked):
        given = {
            "engine": "searxng",
            "url": f"http://127.0.0.1:{port}",
            "networks": ["127.0.0.1/32"],
        }
        result = await called(made(workspace, web_search=given), "web_search", query="moon")
    assert "https://example.org/moon" in result.content
    assert asked[0].startswith("GET /search?q=moon&format=json ")
    assert result.labels == (Label.RETURNS_UNTRUSTED, Label.SENDS_OUT)


@pytest.mark.parametrize("engine", ["searxng:https://search.example.org", "brave", "tavily"])
def test_an_engine_is_named_in_one_word(workspace, engine):
    assert "web_search" in names(made(workspace, web_search=engine))


async def test_an_operation_of_an_http_api_is_a_skill(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("AGENT_SECRET_SHOP_KEY", "s3cret-of-the-shop")
    (tmp_path / "shop.json").write_text(json.dumps(DOCUMENT))
    async with web(b"7 lamps") as (port, asked):
        shop = {
            "document": str(tmp_path / "shop.json"),
            "url": f"http://127.0.0.1:{port}",
            "networks": ["127.0.0.1/32"],
            "auth": {"kind": "bearer", "secret": "shop_key"},
        }
        result = await called(made(workspace, http_api={"shop": shop}), "shop_stock")
    assert result.content == "7 lamps"
    assert "authorization: bearer s3cret-of-the-shop" in asked[0].lower()


async def test_a_command_runs_in_the_workspace_under_the_policy_of_the_settings(workspace, levels):
    state = await ran(workspace, levels, Rules(destroys=Ruling.ALLOW))
    (result,) = (one for message in state.messages for one in message.tool_results)
    assert result.content.strip() == "6 7"
    assert (workspace / "numbers").read_text() == "6 7\n"


async def test_a_command_that_nobody_allowed_is_not_run(workspace, levels):
    state = await ran(workspace, levels, Rules())
    assert not (workspace / "numbers").exists()
    assert state.phase is Phase.AWAITING
    state = await ran(workspace, levels, Rules(tools={"shell": Ruling.DENY}))
    assert not (workspace / "numbers").exists()


async def test_python_runs_in_a_sandbox(workspace, levels):
    skills = made(workspace, levels, python="sandbox")
    result = await called(skills, "python", code="import statistics; print(statistics.mean([2, 4]))")
    assert result.content.strip() == "3"


@needs_monty
async def test_python_runs_as_snippets(workspace):
    assert "42" in (await called(made(workspace, python="snippets"), "python", code="6*7")).content


async def test_hosts_of_programs_are_in_their_labels_and_words(workspace, levels):
    if not any(one.mechanism == "bubblewrap" and one.available for one in levels.reports):
        with pytest.raises(SettingsError, match=r"builtin\.hosts needs bubblewrap"):
            made(workspace, levels, shell=True, hosts=("api.example.org",))
        return
    spec = made(workspace, levels, shell=True, hosts=("api.example.org",)).registry.get("shell").spec
    assert "api.example.org" in spec.description
    assert Label.SENDS_OUT in spec.labels
    closed = made(workspace, levels, shell=True).registry.get("shell").spec
    assert ("no network" in closed.description, Label.SENDS_OUT in closed.labels) == (True, False)


async def test_skill_folders_are_read_and_their_scripts_run_where_there_is_a_sandbox(workspace, levels):
    scripts = workspace.parent / "skills" / "notes" / "scripts"
    scripts.mkdir(parents=True)
    (scripts.parent / "SKILL.md").write_text(SKILL)
    (scripts / "hello.py").write_text("print('hello')")
    folders = (str(workspace.parent / "skills"),)
    assert "who was there" in (await called(made(workspace, levels, folders=folders), "skill_notes")).content
    script = {"skill_name": "notes", "script": "hello.py"}
    result = await called(made(workspace, levels, folders=folders), "skill_script", **script)
    assert result.content.strip() == "hello"
    assert "skill_script" not in names(made(workspace, NO_SANDBOX, folders=folders))
    told = [*builtin_skills.gaps_of_builtins(BuiltinSkillSettings(folders=folders), NO_SANDBOX)]
    assert told[0].startswith("scripts of skill folders can be read and not run")


@pytest.mark.parametrize(
    ("builtin", "says"),
    [
        ({"shell": True}, r"'builtin\.shell': it needs a sandbox, and there is none"),
        ({"python": "sandbox"}, r"'builtin\.python': it needs a sandbox"),
        ({"folders": ("/nowhere/at/all",)}, r"'builtin\.folders': /nowhere/at/all is no folder"),
        ({"web_search": "searxng:"}, r"'builtin\.web_search': searxng needs the url"),
        ({"web_search": "searxng:http://a:99999"}, r"'builtin\.web_search': .* is no address"),
        (
            {"web_search": "bing"},
            r"'builtin\.web_search\.engine': Invalid enum value 'bing'.*allowed are: 'brave'",
        ),
        ({"fetch": {"host": ["a"]}}, r"'builtin\.fetch\.host': there is no such setting; known are: hosts"),
        ({"fetch": {"networks": ["inside"]}}, r"'builtin\.fetch': 'inside' does not appear to be"),
        ({"http_api": {"shop": {}}}, r"'builtin\.http_api\.shop': say by `document`"),
        ({"http_api": {"shop": {"document": "/nowhere.json"}}}, r"/nowhere\.json cannot be read"),
    ],
)
def test_what_cannot_be_is_a_wrong_setting(workspace, builtin, says):
    with pytest.raises(SettingsError, match=says):
        made(workspace, NO_SANDBOX, **builtin)


def test_a_document_that_is_none_is_a_wrong_setting(workspace, tmp_path):
    (tmp_path / "shop.json").write_text("openapi, they said")
    with pytest.raises(SettingsError, match="is no OpenAPI document in JSON"):
        made(workspace, http_api={"shop": {"document": str(tmp_path / "shop.json")}})


@pytest.mark.skipif(find_spec("trafilatura") is not None, reason="trafilatura is installed")
def test_fetching_without_its_library_is_a_wrong_setting(workspace):
    with pytest.raises(SettingsError, match=r"fetch cannot be: .*agent-skills\[fetch\]"):
        made(workspace, fetch=True)


def test_snippets_without_their_library_are_a_wrong_setting(workspace, monkeypatch):
    monkeypatch.setattr(builtin_skills, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"'builtin\.python': it needs Monty"):
        made(workspace, python="snippets")


async def test_the_doctor_names_a_secret_that_is_missing(workspace, monkeypatch):
    monkeypatch.chdir(workspace.parent)
    monkeypatch.setenv("AGENT_DATA_DIR", str(workspace.parent / "data"))
    monkeypatch.setenv("AGENT_PLUGINS", "false")
    (workspace.parent / "agent.toml").write_text('[builtin]\nweb_search = "brave"\n')

    async def plugins():
        return {one.check: one async for one in examine()}["plugins"]

    finding = await plugins()
    assert finding.verdict is Verdict.WARNING
    assert "builtin.web_search needs the secret 'brave_key', which is not set" in finding.detail
    monkeypatch.setenv("AGENT_SECRET_BRAVE_KEY", "12345")
    assert (await plugins()).verdict is Verdict.WELL


def test_the_command_line_shows_them(workspace, monkeypatch):
    monkeypatch.chdir(workspace.parent)
    monkeypatch.setenv("AGENT_DATA_DIR", str(workspace.parent / "data"))
    (workspace.parent / "agent.toml").write_text('[builtin]\nweb_search = "brave"\n')
    assert "brave" in CliRunner().invoke(app, ["config", "show"]).stdout
    listed = CliRunner().invoke(app, ["skills", "list", "--json"]).stdout.splitlines()
    assert "web_search" in {json.loads(line)["name"] for line in listed}
