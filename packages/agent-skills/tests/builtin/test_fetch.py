"""The skill `fetch`, over a real server on loopback."""

import importlib.util
from pathlib import Path

import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin.fetch import PART_CHARS, FetchPlugin
from agent_skills.web.guarded import GuardedWeb, WebLimits

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("trafilatura") is None, reason="needs the extra agent-skills[fetch]"
)
CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
HERE = Path(__file__).parent.parent / "web" / "conftest.py"
spec = importlib.util.spec_from_file_location("web_servers", HERE)
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)


async def fetch(port, path="/", **arguments):
    limits = WebLimits(networks=("127.0.0.9/32",), ports=(port,))
    web = GuardedWeb(limits, resolve=servers.FakeResolver(good_example=[["127.0.0.9"]]))
    registry = SkillRegistry()
    registry.register("fetch", FetchPlugin(web))
    arguments = {"url": f"http://good.example:{port}{path}", **arguments}
    result = await SkillRunner(registry).run(
        ToolCall(tool_call_id="1", name="fetch", arguments=arguments), CONTEXT
    )
    await web.aclose()
    return result


async def test_a_long_page_is_read_in_parts():
    body = "".join(f"{number:07} " for number in range(6_000)).encode()
    async with servers.raw_server(lambda _path, _head: servers.reply(body)) as (port, _):
        first = await fetch(port)
        assert f"http://good.example:{port}/\n\n0000000 " in first.content
        assert f"call again with start={PART_CHARS}" in first.content
        assert first.labels == (Label.RETURNS_UNTRUSTED, Label.SENDS_OUT)
        second = await fetch(port, start=40_000)
        assert "0005000 " in second.content
        assert "call again" not in second.content
        assert "nothing from 90,000 on" in (await fetch(port, start=90_000)).content


async def test_what_cannot_be_read_is_said():
    def answer(path, _head):
        if path == "/gone":
            return servers.reply(status="404 Not Found")
        return servers.reply(b"\0", content_type="image/png")

    async with servers.raw_server(answer) as (port, _):
        assert (await fetch(port, "/gone")).error == "http_status"
        assert (await fetch(port, "/picture")).error == "not_text"
        refused = await fetch(port, url="http://169.254.169.254/latest/meta-data")
    assert refused.error == "address_refused"
    assert "link-local" in refused.content or "ports" in refused.content
    assert not refused.retryable
