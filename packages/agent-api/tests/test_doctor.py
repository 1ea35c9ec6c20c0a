"""What the doctor finds: on a machine where all is well, and where one thing after another is not."""

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from agent_api.access.keys import KeyStore
from agent_api.cli import app
from agent_api.doctor import Verdict, examine
from agent_core.events import RunStarted
from agent_core.messages import user
from agent_gateway.providers import PROVIDERS
from agent_memory import SqliteJournal

SECRET = "sk-never-shown"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch, tmp_path):
    for name in ("API_KEY", "MODEL", "PORT", "CONFIG", "BASE_URL", "WORKSPACE"):
        monkeypatch.delenv(f"AGENT_{name}", raising=False)
    for provider in PROVIDERS.values():
        for name in provider.key_names:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("AGENT_PLUGINS", "false")
    monkeypatch.chdir(tmp_path)


async def found(**overrides):
    return {one.check: one async for one in examine(overrides)}


async def test_a_machine_on_which_nothing_ran_yet_is_well(tmp_path):
    checks = await found(model="openai:scripted", base_url="http://127.0.0.1:9/v1")
    assert {one.check for one in checks.values() if one.verdict is Verdict.WRONG} == set()
    assert checks["settings"].detail == (
        "set: model (command line), base_url (command line), data_dir (environment), plugins (environment)"
    )
    assert "none yet" in checks["journal"].detail
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("overrides", "check", "says"),
    [
        ({"model": "nobody:knows"}, "model", "no model 'nobody:knows'"),
        ({"model": "openai:x", "base_url": "ftp://x"}, "model", "is no address"),
        ({"data_dir": "/dev/null/data"}, "data folder", "/dev/null is no folder"),
        ({"workspace": "missing"}, "plugins", "is no folder"),
        ({"port": "many"}, "settings", "'port' (from command line)"),
    ],
)
async def test_what_is_wrong_is_named(overrides, check, says):
    finding = (await found(**overrides))[check]
    assert finding.verdict is Verdict.WRONG
    assert says in finding.detail


async def test_every_journal_is_read_whole(tmp_path):
    path = tmp_path / "data" / "tenants" / "acme" / "journal.db"
    async with await SqliteJournal.open(path) as journal:
        event = RunStarted(at=1.0, run_id="run_1", session_id="s", input=user("hi"), model="m")
        await journal.append("run_1", 0, [event], writer="w")
    assert (await found())["journal of acme"].detail == "1 runs, 1 events, all sound"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE events SET body = x'00'")
    finding = (await found())["journal of acme"]
    assert (finding.verdict, "run_1" in finding.detail) == (Verdict.WRONG, True)


async def test_a_damaged_file_of_keys_is_wrong(tmp_path):
    folder = tmp_path / "data" / "access"
    with closing(KeyStore(folder)) as keys:
        keys.create(now=0.0, expires_at=1.0)
        assert (await found())["keys"].detail.startswith("none of 1 is valid")
        keys.create(now=0.0)
        assert (await found())["keys"].detail == "1 of 2 valid"
    folder.chmod(0o755)
    (folder / "keys.db").chmod(0o644)
    assert "others may read" in (await found())["keys"].detail
    folder.chmod(0o700)
    (folder / "keys.db").write_bytes(b"no database" * 1000)
    assert (await found())["keys"].verdict is Verdict.WRONG


@pytest.mark.parametrize("name", ["AGENT_API_KEY", "OPENAI_API_KEY"])
async def test_a_secret_in_the_environment_is_warned_of_and_never_shown(monkeypatch, name):
    assert (await found())["secrets"].verdict is Verdict.WELL
    monkeypatch.setenv(name, SECRET)
    checks = await found(model="openai:scripted")
    assert checks["secrets"].verdict is Verdict.WARNING
    assert name in checks["secrets"].detail
    assert SECRET not in str(checks)


async def test_a_secret_in_a_file_that_others_read_is_warned_of(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_text(f'api_key = "{SECRET}"\n')
    path.chmod(0o644)
    assert f"chmod 600 {path}" in (await found())["secrets"].detail
    path.chmod(0o600)
    assert (await found())["secrets"].verdict is Verdict.WELL


@pytest.mark.parametrize(
    ("policy", "verdict", "says"),
    [
        ({}, Verdict.WELL, "the usual rules"),
        ({"trio": "deny", "tools": {"shell": "ask"}}, Verdict.WELL, "set: shell ask, trio deny"),
        ({"destroys": "allow"}, Verdict.WARNING, "nobody is asked any more about: destroys"),
    ],
)
async def test_a_policy_without_a_guard_is_warned_of(policy, verdict, says):
    finding = (await found(policy=policy))["policy"]
    assert (finding.verdict, finding.detail) == (verdict, says)


def test_the_exit_code_says_whether_something_is_wrong():
    well = CliRunner().invoke(
        app, ["doctor", "--json", "--model", "openai:x", "--base-url", "http://127.0.0.1:9"]
    )
    assert well.exit_code == 0
    assert {json.loads(line)["check"] for line in well.stdout.splitlines()} >= {
        "settings",
        "sandbox",
        "clock",
    }
    wrong = CliRunner().invoke(app, ["doctor", "--model", "nobody:knows"])
    assert wrong.exit_code == 1
    assert "wrong    model" in wrong.stdout
