"""A wrong setting keeps the daemon from starting, and `agent doctor` finds it: with its file, its name and what is allowed."""

import json

import pytest

WRONG = {
    "prot = 1": ("prot", "is 'port' meant?"),
    "port = 99999": ("port", "it is 99999"),
    'host = "0.0.0.0"': ("host", "refusing to listen"),
    'uds = "/nonexistent/agentd.sock"': ("uds", "/nonexistent is no folder"),
    'public_url = "somewhere"': ("public_url", "begins with https://"),
    'origin = "https://example.org/console"': ("origin", "https://example.org is enough"),
    'webhook_networks = "10.1.0.0/99"': ("webhook_networks", "10.1.0.0/99"),
    'webhook_ports = "70000"': ("webhook_ports", "from 1 to 65535"),
    'knowledge_at = "nowhere"': ("knowledge_at", "or is an absolute path"),
    'workspace = "/nonexistent"': ("workspace", "/nonexistent is no folder"),
    '[policy.tools]\nshell = "perhaps"': ("policy.tools", "allowed are: 'allow', 'ask', 'deny'"),
    "[mcp.servers.a]\ncommand = 3": ("mcp.servers.a.command", "it is 3"),
    "[mcp.servers.a]\nfoo = 1": ("mcp.servers.a.foo", "known are: "),
    '[mcp.servers.a]\nurl = "https://x.example/"\nheaders = { A = "{secret:nope}" }': (
        "mcp.servers.a.headers",
        "AGENT_SECRET_NOPE",
    ),
    '[plugins]\nlevel = "vault"': ("plugins.level", "in_process, worker, sandbox"),
    "[plugins.grants.x]\nhosts = 3": ("plugins.grants.x.hosts", "it is 3"),
    "[plugins.per_run]\nx = 1": ("plugins.per_run.x", "known are: "),
    "[builtin.fetch]\ntimeout = 1": ("builtin.fetch.timeout", "timeout_s"),
    '[builtin.fetch]\nnetworks = ["x"]': ("builtin.fetch", "'x'"),
    '[builtin]\nweb_search = "bing"': ("builtin.web_search.engine", "'brave'"),
    '[builtin]\nfolders = ["/nonexistent"]': ("builtin.folders", "/nonexistent is no folder"),
    '[builtin.http_api.p]\ndocument = "/nonexistent.yaml"': (
        "builtin.http_api.p.document",
        "No such file or directory",
    ),
    '[builtin.http_api.p]\ndocument = "agent.toml"': ("builtin.http_api.p.document", "no OpenAPI document"),
}


@pytest.mark.parametrize("toml", WRONG)
def test_a_wrong_setting_is_one_line_at_start_and_a_finding_of_the_doctor(agent, workspace, toml):
    key, says = WRONG[toml]
    file = workspace / "agent.toml"
    file.write_text(toml)
    port = () if toml.startswith(("port", "uds")) else ("--port", "0")
    started = agent("serve", *port)
    assert started.code == 2, started
    (line,) = [one for one in started.err.splitlines() if one.startswith("error: ")]
    assert line.startswith(f"error: setting '{key}' (from {file}): "), line
    assert says in line
    assert started.out == ""
    looked = agent("doctor", "--json")
    assert looked.code == 1
    wrong = [one["detail"] for one in map(json.loads, looked.out.splitlines()) if one["verdict"] == "wrong"]
    assert f"error: {wrong[0]}" == line


def test_several_wrong_settings_are_all_told(agent, workspace):
    (workspace / "agent.toml").write_text('origin = "x"\nwebhook_ports = "a"\n[builtin.fetch]\nx = 1\n')
    started = agent("serve", "--port", "0")
    assert started.code == 2
    head, *lines = started.err.splitlines()
    assert head == "error: 3 settings are wrong:"
    assert [line.split("'")[1] for line in lines] == ["origin", "webhook_ports", "builtin.fetch.x"]


def test_a_data_folder_that_cannot_be_made_is_one_line(agent, workspace):
    started = agent("serve", "--port", "0", "--data-dir", "/proc/nothere")
    assert started.code == 2
    assert "/proc/nothere/access cannot be made or written" in started.err


def test_a_daemon_with_right_settings_starts(agentd, workspace):
    (workspace / "pets.yaml").write_text(
        "openapi: 3.1.0\n"
        "info: {title: Pets, version: '1'}\n"
        "servers: [{url: https://pets.example}]\n"
        "paths:\n"
        "  /pets:\n"
        "    get:\n"
        "      operationId: list_pets\n"
        "      summary: All pets\n"
        "      responses:\n"
        "        200: {description: them}\n"
    )
    (workspace / "agent.toml").write_text(
        '[builtin]\nfetch = false\n[builtin.http_api.pets]\ndocument = "pets.yaml"\n'
    )
    agentd()
