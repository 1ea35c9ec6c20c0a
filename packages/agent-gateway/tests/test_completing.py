from collections.abc import AsyncGenerator

import pytest

from agent_core.chat import Completion, Delta, ModelRequest, TextDelta
from agent_core.messages import user
from agent_core.testing import ScriptedModel, answer
from agent_gateway import complete
from agent_gateway.errors import BrokenReplyError


async def test_a_whole_reply_at_once() -> None:
    model = ScriptedModel([answer("one"), answer("two")])
    assert (await complete(model, "hi")).message.text == "one"
    assert (await complete(model, ModelRequest(messages=(user("hi"),)))).message.text == "two"
    assert [request.messages for request in model.requests] == [(user("hi"),)] * 2


async def test_a_stream_without_a_completion_is_broken() -> None:
    class Silent(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
            yield TextDelta("a")

    with pytest.raises(BrokenReplyError, match="without a completion"):
        await complete(Silent([]), "hi")
