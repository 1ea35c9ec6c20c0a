"""Logins to a server that wants OAuth, with an authorization server of the SDK: by a person, by a program, renewed, lost."""

import asyncio
import json
import re
import socket
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, Popen

import anyio
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.errors import SkillError
from agent_skills.mcp.client.mounting import mounted
from agent_skills.mcp.client.pins import Pins
from agent_skills.mcp.client.settings import McpServerSettings, OAuthSettings
from agent_skills.mcp.client.token_file import TokenFile
from agent_skills.mcp.errors import McpLoginError

pytestmark = pytest.mark.skipif(find_spec("mcp") is None, reason="needs the extra agent-skills[mcp]")
SERVER = Path(__file__).parent.parent / "sdk_oauth_server.py"
MACHINE = {"grant": "client_credentials", "client_id": "robot", "client_secret": "s3cret/+"}
CONTEXT = ToolContext(run_id="run", session_id="session", idempotency_key="key")


def fetched(url, *, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as reply:
        return reply.read().decode()


class Guarded:
    def __init__(self, url, issuer):
        self.url, self.issuer = url, issuer

    async def ask(self, path, method="GET"):
        return json.loads(await asyncio.to_thread(fetched, f"{self.issuer}/test/{path}", method=method))


@contextmanager
def guarded_server(*arguments):
    with Popen([sys.executable, str(SERVER), *arguments], stdin=PIPE, stdout=PIPE) as process:
        try:
            yield Guarded(**json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def guarded():
    with guarded_server() as server:
        yield server


def settings(guarded, **oauth):
    return McpServerSettings(name="desk", url=guarded.url, oauth=OAuthSettings(**oauth))


@pytest.fixture
def file(guarded, tmp_path):
    return TokenFile("desk", tmp_path / "tokens" / "desk.json", guarded.url)


class Person:
    """Opens the address in a browser that follows where it leads."""

    def __init__(self):
        self.saw = []
        self._visits = []

    def show(self, url):
        self._visits.append(asyncio.ensure_future(self._visit(url)))

    async def _visit(self, url):
        self.saw.append(await asyncio.to_thread(fetched, url))


async def log_in(guarded, file, **oauth):
    from agent_skills.mcp.client import login

    person = Person()
    with anyio.fail_after(60):
        await login.log_in(settings(guarded, **oauth), file, person.show)
    await asyncio.gather(*person._visits)
    return person


@asynccontextmanager
async def mounted_desk(guarded, file, tmp_path, **oauth):
    from agent_skills.mcp.client.kept_login import KeptLogin

    one, registry = settings(guarded, **oauth), SkillRegistry()
    with anyio.fail_after(60):
        async with mounted(
            [one], registry, Pins(tmp_path / "pins.json"), authentications={"desk": KeptLogin(one, file)}
        ) as mounts:
            yield mounts["desk"], SkillRunner(registry)


async def added(runner):
    call = ToolCall(tool_call_id="1", name="desk_add", arguments={"a": 2, "b": 3})
    return (await runner.run(call, CONTEXT)).content


async def test_a_person_logs_in_once_and_the_tools_are_there(guarded, file, tmp_path):
    person = await log_in(guarded, file)
    assert "may be closed" in person.saw[0]
    before = await guarded.ask("counts")
    for _ in range(2):  # as after a restart
        async with mounted_desk(guarded, file, tmp_path) as (mount, runner):
            assert (mount.problem, await added(runner)) == ("", "5")
    assert await guarded.ask("counts") == before


async def test_only_the_owner_can_read_what_a_login_gave(guarded, file, tmp_path):
    await log_in(guarded, file)
    folder = tmp_path / "tokens"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {one.name for one in folder.iterdir()} == {"desk.json"}
    assert [one.stat().st_mode & 0o777 for one in folder.iterdir()] == [0o600]


async def test_a_token_that_ran_out_is_renewed_once_for_all_who_noticed(guarded, file, tmp_path):
    await log_in(guarded, file)
    async with (
        mounted_desk(guarded, file, tmp_path) as (_, one),
        mounted_desk(
            guarded, TokenFile("desk", tmp_path / "tokens" / "desk.json", guarded.url), tmp_path
        ) as (
            _,
            other,
        ),
    ):
        before = (await guarded.ask("counts")).get("renewed", 0)
        await guarded.ask("expire", "POST")
        said = await asyncio.gather(*(added(runner) for runner in (one, other, one, other)))
        assert said == ["5"] * 4
        assert (await guarded.ask("counts"))["renewed"] == before + 1
        await guarded.ask("expire", "POST")
        assert await added(one) == "5"  # by the refresh token that replaced the first
    assert file.read().tokens["refresh_token"]


async def test_a_login_that_is_not_valid_any_more_says_what_to_do_and_is_asked_for_no_more(
    guarded, file, tmp_path, caplog
):
    await log_in(guarded, file)
    await guarded.ask("revoke", "POST")
    async with mounted_desk(guarded, file, tmp_path) as (mount, _):
        assert "agent mcp login desk" in mount.problem
    assert not any(one.exc_info for one in caplog.records)  # it is told in a line, not as a traceback
    assert not file.read().access_token
    before = await guarded.ask("counts")
    async with mounted_desk(guarded, file, tmp_path) as (mount, _):
        assert "it wants a login (OAuth)" in mount.problem
    assert await guarded.ask("counts") == before


async def test_a_server_that_refuses_what_was_just_renewed_is_named(guarded, file, tmp_path):
    await log_in(guarded, file)
    await guarded.ask("deaf", "POST")
    try:
        async with mounted_desk(guarded, file, tmp_path) as (mount, _):
            assert "refuses the token that is valid now" in mount.problem
    finally:
        await guarded.ask("deaf", "POST")
    async with mounted_desk(guarded, file, tmp_path) as (_, runner):
        assert await added(runner) == "5"  # the login itself is as good as before


async def test_a_server_is_there_once_a_person_has_logged_in(guarded, file, tmp_path):
    async with mounted_desk(guarded, file, tmp_path) as (mount, runner):
        assert "it wants a login (OAuth)" in mount.problem
        await log_in(guarded, file)
        while mount.problem:
            await anyio.sleep(0.1)
        assert await added(runner) == "5"


async def test_a_program_is_a_client_of_its_own_right(guarded, file, tmp_path):
    machine = {**MACHINE, "issuer": guarded.issuer}
    async with mounted_desk(guarded, file, tmp_path, **machine) as (mount, runner):
        assert (mount.problem, await added(runner)) == ("", "5")
        await guarded.ask("expire", "POST")
        assert await added(runner) == "5"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"issuer": "https://auth.example.org"}, "issuer"),
    ],
)
async def test_a_program_that_is_not_let_in_says_why(guarded, file, tmp_path, wrong, says):
    machine = {**MACHINE, "issuer": guarded.issuer, **wrong}
    before = (await guarded.ask("counts")).get("machine", 0)
    async with mounted_desk(guarded, file, tmp_path, **machine) as (mount, _):
        assert "the login (OAuth) failed" in mount.problem
        assert re.search(says, mount.problem)
        assert "s3cret" not in mount.problem
    asked = (await guarded.ask("counts")).get("machine", 0) - before
    assert bool(asked) is ("issuer" not in wrong)  # the secret goes to the issuer of the settings alone


async def test_a_client_that_is_registered_does_not_register_itself(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with guarded_server(str(port)) as guarded:
        file = TokenFile("desk", tmp_path / "desk.json", guarded.url)
        await log_in(guarded, file, client_id="desk-client", port=port)
        counts = await guarded.ask("counts")
        assert (counts.get("registered", 0), counts["authorized"]) == (0, 1)
        async with mounted_desk(guarded, file, tmp_path, client_id="desk-client", port=port) as (_, runner):
            await guarded.ask("expire", "POST")
            assert await added(runner) == "5"


async def test_a_login_that_nobody_makes_ends_and_leaves_the_one_before(guarded, file):
    from agent_skills.mcp.client import login

    await log_in(guarded, file)
    before = file.read()
    with pytest.raises(McpLoginError, match="nobody logged in within"):
        await login.log_in(settings(guarded), file, lambda _: None, timeout_s=3)
    assert file.read() == before


async def test_a_login_that_is_refused_says_so_and_one_of_another_state_is_not_heard(guarded, file):
    from urllib.parse import parse_qs, urlsplit

    from agent_skills.mcp.client import login

    answers = []

    def show(url):
        query = parse_qs(urlsplit(url).query)
        back, state = query["redirect_uri"][0], query["state"][0]

        def come_back():
            for one in (f"{back}?code=x&state=other", f"{back}x?state={state}"):
                try:
                    fetched(one)
                except urllib.error.HTTPError as error:
                    answers.append(error.code)
            answers.append(fetched(f"{back}?error=access_denied&error_description=no%0Athanks&state={state}"))

        visits.append(asyncio.ensure_future(asyncio.to_thread(come_back)))

    visits = []
    with anyio.fail_after(60), pytest.raises(McpLoginError, match="refused: access_denied no thanks"):
        await login.log_in(settings(guarded), file, show)
    await asyncio.gather(*visits)
    assert answers == [400, 404, "The login was refused. This window may be closed."]


@pytest.mark.parametrize(
    ("status", "challenge", "says"),
    [
        (
            403,
            'Bearer error="insufficient_scope", scope="more"',
            "more rights than the login has; log in with",
        ),
        (403, "Bearer", "it wants credentials"),
    ],
)
async def test_a_login_that_lacks_rights_is_told_from_one_that_is_refused(
    serve, tmp_path, status, challenge, says
):
    from agent_skills.mcp.client.kept_login import KeptLogin

    async def application(_scope, _receive, send):
        headers = [(b"www-authenticate", challenge.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async with serve(application) as url:
        one = McpServerSettings(name="desk", url=f"{url}/mcp", oauth=OAuthSettings())
        file = TokenFile("desk", tmp_path / "desk.json", one.url)
        file.write(tokens={"access_token": "a"}, client=None)
        login = {"desk": KeptLogin(one, file)}
        with anyio.fail_after(60):
            async with mounted(
                [one], SkillRegistry(), Pins(tmp_path / "pins.json"), authentications=login
            ) as mounts:
                assert says in mounts["desk"].problem
    assert file.read().access_token == "a"


async def test_a_port_that_is_taken_is_named(guarded, file):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(McpLoginError, match=f"port {port} of 127.0.0.1"):
            await log_in(guarded, file, client_id="desk-client", port=port)


async def test_a_server_that_wants_no_login_is_named(everything_url, tmp_path):
    from agent_skills.mcp.client import login

    one = McpServerSettings(name="all", url=f"{everything_url}/mcp", oauth=OAuthSettings())
    with anyio.fail_after(60), pytest.raises(McpLoginError, match="it wants no login"):
        await login.log_in(one, TokenFile("all", tmp_path / "all.json", one.url), lambda _: None)
    assert not (tmp_path / "all.json").exists()


async def test_a_server_that_is_not_there_is_named(tmp_path):
    from agent_skills.mcp.client import login

    one = McpServerSettings(name="gone", url="http://127.0.0.1:9/mcp", oauth=OAuthSettings())
    with anyio.fail_after(60), pytest.raises(SkillError, match="MCP server 'gone'"):
        await login.log_in(one, TokenFile("gone", tmp_path / "gone.json", one.url), lambda _: None)
