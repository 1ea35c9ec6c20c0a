"""Our skills for others: what is offered, and what needs a yes."""

import pytest

from agent_core.tools import Label
from agent_skills import SkillFailedError, SkillRegistry, SkillRunner, hookimpl, skill
from agent_skills.mcp import wire
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.server.exchange import Exchange, InputNeeded
from agent_skills.mcp.server.skill_tools import SkillTools

SENT = []


@skill(idempotent=True)
async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    if a < 0:
        raise SkillFailedError("negative")
    return a + b


@skill(labels=[Label.SENDS_OUT])
async def send(text: str) -> str:
    """Send a text to the world."""
    SENT.append(text)
    return "sent"


@skill
async def hidden() -> str:
    """Nothing for others."""
    return "hidden"


class Plugin:
    @hookimpl
    def register_skills(self, register):
        for one in (add, send, hidden):
            register(one)


@pytest.fixture
def tools():
    SENT.clear()
    registry = SkillRegistry()
    registry.register("tests", Plugin())
    return SkillTools(SkillRunner(registry), ["send", "add"])


def exchange(*, capabilities=None, answer=None, name="send", arguments=None):
    params = {"name": name, "arguments": arguments or {"text": "hi"}}
    if answer is not None:
        params["inputResponses"] = {"allow": answer}
    capabilities = {"elicitation": {}} if capabilities is None else capabilities
    return Exchange(wire.request(1, "tools/call", params), capabilities=capabilities, send=None)


async def test_only_what_is_named_is_offered_in_that_order(tools):
    offered = await tools.list()
    assert [one["name"] for one in offered] == ["send", "add"]
    assert offered[0]["annotations"]["openWorldHint"] is True
    assert offered[1]["annotations"]["readOnlyHint"] is True
    assert offered[1]["inputSchema"]["required"] == ["a"]
    with pytest.raises(McpRefusedError, match="hidden"):
        await tools.call("hidden", {}, exchange())


async def test_a_plain_skill_runs_and_its_failure_is_a_result(tools):
    assert await tools.call("add", {"a": 2}, exchange()) == {
        "content": [{"type": "text", "text": "3"}],
        "isError": False,
    }
    for arguments, words in (({"a": -1}, "negative"), ({"a": "x"}, "arguments of add are wrong")):
        result = await tools.call("add", arguments, exchange())
        assert result["isError"] is True
        assert words in result["content"][0]["text"]


async def test_what_sends_out_needs_the_yes_of_the_clients_user(tools):
    with pytest.raises(InputNeeded) as caught:
        await tools.call("send", {"text": "hi"}, exchange())
    assert '"hi"' in caught.value.questions["allow"].params["message"]
    for answer in (
        {"action": "decline"},
        {"action": "accept", "content": {"allow": False}},
        {"action": "accept", "content": {"allow": "yes"}},
    ):
        result = await tools.call("send", {"text": "hi"}, exchange(answer=answer))
        assert result["isError"] is True
    assert SENT == []
    said_yes = {"action": "accept", "content": {"allow": True}}
    await tools.call("send", {"text": "hi"}, exchange(answer=said_yes))
    assert SENT == ["hi"]


async def test_a_client_that_cannot_ask_is_refused(tools):
    with pytest.raises(McpRefusedError) as caught:
        await tools.call("send", {"text": "hi"}, exchange(capabilities={}))
    assert caught.value.code == wire.Code.MISSING_CAPABILITY
    assert SENT == []
