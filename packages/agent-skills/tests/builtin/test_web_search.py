"""The skill `web_search`: what each engine is asked, and how its reply is read."""

import importlib.util
import json
from pathlib import Path

import msgspec
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner
from agent_skills.builtin.web_search import WebSearchPlugin
from agent_skills.errors import SkillError, SkillFailedError
from agent_skills.web import engines
from agent_skills.web.engines import Found, SearchSettings

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
RECORDED = Path(__file__).parents[4].parent / "shared" / "wire" / "recorded.jsonl"
HERE = Path(__file__).parent.parent / "web" / "conftest.py"
spec = importlib.util.spec_from_file_location("web_servers", HERE)
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)


async def search(settings, *, ports=(80, 443), secret=lambda _name: None, **arguments):
    registry = SkillRegistry()
    registry.register("web_search", WebSearchPlugin(settings, secret, ports=ports))
    call = ToolCall(tool_call_id="1", name="web_search", arguments={"query": "moon", **arguments})
    return await SkillRunner(registry).run(call, CONTEXT)


async def test_a_searxng_of_your_own():
    results = [
        {"title": f"T{n}", "url": f"https://example.org/{n}", "content": "a  b\n" * 500} for n in range(9)
    ]
    body = json.dumps({"results": results}).encode()
    async with servers.raw_server(lambda _path, _head: servers.reply(body), host="127.0.0.1") as (
        port,
        requests,
    ):
        settings = SearchSettings(
            engine="searxng", url=f"http://127.0.0.1:{port}/", networks=("127.0.0.1/32",)
        )
        result = await search(settings, ports=(port,), count=2)
        assert requests[0].startswith("GET /search?q=moon&format=json ")
        assert result.content.startswith("1. T0\nhttps://example.org/0\na b a b")
        assert "T2" not in result.content
        assert len(result.content) < 2_000
    closed = await search(settings, ports=(port,))
    assert (closed.error, closed.retryable) == ("unreachable", True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", "200 OK", "unreadable"),
        (b'{"results": 5}', "200 OK", "unreadable"),
        (b"", "429 Slow", "http_status"),
    ],
)
async def test_an_engine_that_answers_nonsense(body, status, code):
    async with servers.raw_server(lambda _path, _head: servers.reply(body, status=status)) as (port, _):
        settings = SearchSettings(
            engine="searxng", url=f"http://127.0.0.9:{port}", networks=("127.0.0.9/32",)
        )
        assert (await search(settings, ports=(port,))).error == code


async def test_without_the_key_nobody_is_asked():
    result = await search(SearchSettings(engine="brave"))
    assert (result.error, "brave_key" in result.content) == ("no_secret", True)
    with pytest.raises(SkillError, match="url of your instance"):
        SearchSettings(engine="searxng")


def test_what_the_engines_are_asked():
    brave = engines.asked(SearchSettings(engine="brave"), "a b", 3, "key")
    assert brave.url == f"{engines.BRAVE}?q=a+b&count=3"
    assert brave.headers["x-subscription-token"] == "key"
    tavily = engines.asked(SearchSettings(engine="tavily"), "a b", 3, "key")
    assert (tavily.method, tavily.headers["authorization"]) == ("POST", "Bearer key")
    assert msgspec.json.decode(tavily.body) == {"query": "a b", "max_results": 3}


def test_the_replies_of_the_engines():
    brave = b'{"web": {"results": [{"title": "T", "url": "u", "description": "d"}]}}'
    assert engines.read("brave", brave, 5) == [Found(title="T", url="u", text="d")]
    assert engines.read("brave", b'{"web": {"results": []}}', 5) == []
    with pytest.raises(SkillFailedError):
        engines.read("brave", b"[]", 5)


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded exchanges are not here")
def test_a_recorded_reply_of_tavily():
    with RECORDED.open() as lines:
        recorded = next(one for line in lines if (one := json.loads(line))["provider"] == "api.tavily.com")
    body = json.dumps(recorded["response"]).encode()
    found = engines.read("tavily", body, 3)
    assert len(found) == 3
    assert all(one.url.startswith("https://") and one.title and one.text for one in found)


@pytest.mark.skipif(importlib.util.find_spec("ddgs") is None, reason="needs the extra agent-skills[ddgs]")
async def test_ddgs_is_asked_through_its_library(monkeypatch):
    import ddgs

    class FakeSearch:
        def __init__(self, timeout):
            pass

        def text(self, query, max_results):
            if query == "nothing":
                raise ddgs.exceptions.DDGSException("no results")
            return [{"title": query, "href": "https://example.org", "body": "text"}] * max_results

    monkeypatch.setattr(ddgs, "DDGS", FakeSearch)
    settings = SearchSettings(engine="ddgs")
    result = await search(settings, count=1)
    assert result.content == "1. moon\nhttps://example.org\ntext"
    assert (await search(settings, query="nothing")).error == "skill_failed"
