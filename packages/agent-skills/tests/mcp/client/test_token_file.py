"""The file of a login: what is in it, who may hold it, and what is wrong with it. No SDK is needed for that."""

import asyncio
import contextlib
import os

import anyio
import pytest

from agent_skills.errors import SkillError
from agent_skills.mcp.client.settings import McpServerSettings, OAuthSettings
from agent_skills.mcp.client.token_file import TokenFile
from agent_skills.mcp.errors import McpLoginError

URL = "https://desk.example/mcp"
TOKENS = {"access_token": "a", "refresh_token": "r"}


@pytest.fixture
def file(tmp_path):
    return TokenFile("desk", tmp_path / "tokens" / "desk.json", URL)


def test_what_is_written_is_read_again_until_it_is_removed(file, tmp_path):
    assert (file.read().tokens, file.remove()) == (None, False)
    file.write(tokens=TOKENS, client={"client_id": "c"})
    again = TokenFile("desk", tmp_path / "tokens" / "desk.json", URL).read()
    assert (again.access_token, again.client) == ("a", {"client_id": "c"})
    assert file.remove()
    assert file.read().access_token == ""


def test_a_server_that_moved_does_not_get_the_tokens_of_the_one_before(file, tmp_path):
    file.write(tokens=TOKENS, client=None)
    assert not TokenFile("desk", tmp_path / "tokens" / "desk.json", "https://other.example/mcp").read().tokens


@pytest.mark.parametrize("text", ["", "{", '{"url": 5}', "[]"])
def test_a_file_that_is_no_login_is_named(file, tmp_path, text):
    file.write(tokens=TOKENS, client=None)
    (tmp_path / "tokens" / "desk.json").write_text(text)
    with pytest.raises(McpLoginError, match=r"desk\.json cannot be read"):
        file.read()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "tokens").write_text("a file")
    with pytest.raises(McpLoginError, match="cannot be kept"):
        TokenFile("desk", tmp_path / "tokens" / "desk.json", URL).write(tokens=TOKENS, client=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_keeps_belongs_to_who_owns_the_folder_above(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 1234, 1235)
    path = state / "tokens" / "desk.json"
    TokenFile("desk", path, URL).write(tokens=TOKENS, client=None)
    for one in (path, path.parent):
        assert (one.stat().st_uid, one.stat().st_gid) == (1234, 1235)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("link", [os.symlink, os.link])
async def test_what_was_there_before_is_given_to_nobody(tmp_path, link):
    state, roots = tmp_path / "state", tmp_path / "shadow"
    state.mkdir()
    roots.touch()
    link(roots, state / "desk.json.lock")
    os.chown(state, 1234, 1235)
    file = TokenFile("desk", state / "desk.json", URL)
    with contextlib.suppress(McpLoginError):  # a symbolic link is not followed
        async with file.locked():
            pass
    assert roots.stat().st_uid == 0


async def test_a_lock_that_cannot_be_is_named(tmp_path):
    (tmp_path / "tokens").write_text("a file")
    with pytest.raises(McpLoginError, match="cannot be renewed"):
        async with TokenFile("desk", tmp_path / "tokens" / "desk.json", URL).locked():
            pass


async def test_one_at_a_time_holds_it(file):
    inside, most = 0, 0

    async def hold():
        nonlocal inside, most
        async with file.locked():
            inside += 1
            most = max(most, inside)
            await anyio.sleep(0.01)
            inside -= 1

    with anyio.fail_after(30):
        await asyncio.gather(*(hold() for _ in range(5)))
    assert most == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": "http://desk.example/mcp"}, "needs a URL with https"),
        ({"url": "", "command": ("desk",)}, "needs a URL with https"),
        (
            {"oauth": OAuthSettings(grant="client_credentials", client_id="c")},
            "client_id, client_secret and issuer",
        ),
        ({"oauth": OAuthSettings(client_secret="s")}, "needs its client_id"),
        ({"oauth": OAuthSettings(client_id="c")}, "needs the port"),
    ],
)
def test_settings_that_cannot_be_are_named(fields, says):
    with pytest.raises(SkillError, match=says):
        McpServerSettings(**{"name": "desk", "url": URL, "oauth": OAuthSettings(), **fields})


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/mcp", "http://localhost/mcp", "http://[::1]/mcp"])
def test_a_server_of_this_machine_may_do_without_tls(url):
    assert McpServerSettings(name="desk", url=url, oauth=OAuthSettings()).oauth
