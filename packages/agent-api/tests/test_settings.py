"""Where a setting comes from: the order of the sources, and what a wrong one says."""

from pathlib import Path

import msgspec
import pytest

from agent_api.errors import SettingsError
from agent_api.settings import Settings, explain, load, shown, unknown_variables
from agent_api.wrong_settings import wrong_value
from agent_core.policy import Rules, Verdict


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in ("AGENT_MODEL", "AGENT_PORT", "AGENT_API_KEY", "AGENT_CONFIG", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def origin_of(name: str) -> tuple[object, str]:
    return next((one.value, one.origin) for one in explain() if one.name == name)


def test_defaults():
    assert load() == Settings()


def test_each_source_wins_over_the_next(clean, monkeypatch):
    assert origin_of("model")[1] == "default"
    (clean / "agent.toml").write_text('model = "openai:toml"\nport = 1\n')
    assert origin_of("model") == ("openai:toml", str(clean / "agent.toml"))
    (clean / ".env").write_text("AGENT_MODEL=openai:dotenv\n")
    assert origin_of("model") == ("openai:dotenv", ".env")
    monkeypatch.setenv("AGENT_MODEL", "openai:environment")
    assert origin_of("model") == ("openai:environment", "environment")
    assert load({"model": "openai:line"}).model == "openai:line"
    assert load({"model": None}).model == "openai:environment"
    assert load().port == 1


def test_a_credential_wins_over_the_environment(clean, monkeypatch):
    (clean / "agent_api_key").write_text("from-systemd\n")
    monkeypatch.setenv("AGENT_API_KEY", "from-environment")
    assert load().api_key == "from-environment"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(clean))
    assert load().api_key == "from-systemd"
    assert origin_of("api_key")[1] == "credential"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modle = 'x'", "setting 'modle'.*is 'model' meant"),
        ("port = 'many'", "setting 'port'.*it is 'many'"),
        ("port = 99999", "setting 'port'.*<= 65535.*it is 99999"),
        ("max_runs = 0", "setting 'max_runs'.*>= 1"),
        (
            "log_level = 'loud'",
            "setting 'log_level'.*'loud'; allowed are: 'debug', 'error', 'info', 'warning'",
        ),
        ("model = ", "not valid TOML"),
        ("[policy]\ntrio = 'never'", "setting 'policy.trio'.*'never'; allowed are: 'allow', 'ask', 'deny'"),
        ("[policy]\ntrios = 'deny'", "setting 'policy.trios'.*no such setting; known are: .*trio"),
        ("[builtin]\npython = 'docker'", "setting 'builtin.python'.*allowed are: '', 'sandbox', 'snippets'"),
        ("[plugins]\nalow = []", "setting 'plugins.alow'.*known are: allow, deny"),
        ("[skills]\nallow = 3", "setting 'skills.allow'.*it is 3"),
    ],
)
def test_a_wrong_file_is_one_clear_error(clean, text, says):
    (clean / "agent.toml").write_text(text)
    with pytest.raises(SettingsError, match=says):
        load()


def test_every_error_names_its_file(clean):
    (clean / "agent.toml").write_text("[builtin]\nfetch = 'yes'\n")
    with pytest.raises(SettingsError, match=f"\\(from {clean / 'agent.toml'}\\).*it is 'yes'"):
        load()


def test_a_file_that_is_named_and_not_there_is_said(monkeypatch):
    monkeypatch.setenv("AGENT_CONFIG", "/nonexistent/agent.toml")
    with pytest.raises(SettingsError, match=r"AGENT_CONFIG names /nonexistent/agent\.toml, which is no file"):
        load()


def test_a_variable_that_is_no_setting_is_found(clean, monkeypatch):
    monkeypatch.setenv("AGENT_PROT", "1")
    monkeypatch.setenv("AGENT_SECRET_BRAVE", "x")
    (clean / ".env").write_text("AGENT_MODLE=openai:x\nOTHER=1\n")
    assert {"AGENT_PROT", "AGENT_MODLE"} <= set(unknown_variables())
    assert not {"AGENT_SECRET_BRAVE", "OTHER"} & set(unknown_variables())


def test_what_may_be_a_secret_is_not_shown(clean):
    kind = dict[str, dict[str, str]]
    value = {"a": {"headers": 3}}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, kind)
    assert "it is" not in str(wrong_value("mcp.servers", value, kind, caught.value))
    monkey = "sk-never-shown"
    (clean / "agent.toml").write_text(f"api_key = ['{monkey}']")
    with pytest.raises(SettingsError) as said:
        load()
    assert monkey not in str(said.value)


def test_a_wrong_environment_names_variable_and_source(monkeypatch):
    monkeypatch.setenv("AGENT_PORT", "many")
    with pytest.raises(SettingsError, match=r"'port' \(from environment\)"):
        load()


def test_the_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert Settings().data_path() == tmp_path / "xdg" / "agent"
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state:{tmp_path}/other")
    assert Settings().data_path() == tmp_path / "state"
    assert Settings(data_dir="~/here").data_path() == Path.home() / "here"


def test_the_policy_is_a_table_and_is_shown_whole(clean):
    assert load().policy == Rules()
    (default,) = (one for one in explain() if one.name == "policy")
    assert shown(default)["trio"] == "ask"
    (clean / "agent.toml").write_text('[policy]\nfollowed_link = "ask"\n[policy.tools]\nshell = "deny"\n')
    assert load().policy == Rules(followed_link=Verdict.ASK, tools={"shell": Verdict.DENY})
