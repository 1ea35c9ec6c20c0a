"""`POST /v1/responses/compact`: a conversation made short. What people said stays as it is; the rest becomes one sealed item."""

import time
from typing import Annotated, Literal

import msgspec

from agent_api.errors import InvalidRequestError
from agent_api.openai import items, responding
from agent_api.openai.caller import Caller
from agent_api.openai.direct import direct
from agent_api.openai.resource import ResponseUsage, usage_of
from agent_api.openai.responses_request import Item, ResponseRequest
from agent_api.openai.talk import heard
from agent_core.chat import ToolMode
from agent_core.messages import Message, Usage
from agent_memory import estimate_tokens
from agent_memory.compaction import extract
from agent_memory.summaries import summary_request

SUMMARY_TOKENS = 1_024
"""At most; less where the model has little room."""
_SUMMARY_SHARE = 8
_CHARS_PER_TOKEN = 3
"""Rather too few: what is asked must fit."""


class CompactRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/responses/compact`."""

    model: str
    input: str | list[Item] | None = None
    previous_response_id: str | None = None
    instructions: str | None = None
    prompt_cache_key: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that was made short: `output` is the input of the next request, as it is."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    output: list[Item]
    created_at: int
    usage: ResponseUsage


async def compacted(caller: Caller, request: CompactRequest) -> Compacted:
    """A summary of all that was said, by the model where it can write one.

    Raises:
        InvalidRequestError: what the request names is not there, or there is nothing to make short.
        AgentError: the model cannot be asked now, or refuses.
    """
    caller.is_agent(request.model)
    caller.check_spending()
    asked = ResponseRequest(
        model=request.model, input=request.input, previous_response_id=request.previous_response_id
    )
    before = await responding.before(caller, asked)
    said = [*before, *items.checked(request.input, before, seal=caller.seal)]
    messages = items.messages_of(said, request.instructions, seal=caller.seal)
    if not any(message.role != "system" for message in messages):
        raise InvalidRequestError("there is nothing to make short", param="input")
    summary, usage = await _summary(caller, messages)
    item: Item = {
        "type": "compaction",
        "id": caller.new_id("cmp"),
        "encrypted_content": caller.seal.close(summary),
    }
    return Compacted(
        id=caller.new_id("resp"),
        output=[*filter(_is_kept, said), item],
        created_at=int(time.time()),
        usage=usage_of(usage),
    )


async def _summary(caller: Caller, messages: list[Message]) -> tuple[str, Usage]:
    profile, turns = caller.model.profile, [tuple(messages)]
    tokens = min(SUMMARY_TOKENS, profile.context_tokens // _SUMMARY_SHARE)
    if (
        profile.tool_mode is ToolMode.ROUTED
    ):  # the smallest cannot summarise: the sentences that say most will do
        return extract(turns, tokens, estimate_tokens), Usage()
    max_chars = (profile.context_tokens - 2 * tokens) * _CHARS_PER_TOKEN
    said, ended = await heard(direct(caller, summary_request(turns, tokens, max_chars=max_chars)))
    return "".join(message.text for message in said).strip(), ended.usage


def _is_kept(item: Item) -> bool:
    """What a person or the program said is not for a model to retell."""
    return item["type"] == "message" and item["role"] != "assistant"
