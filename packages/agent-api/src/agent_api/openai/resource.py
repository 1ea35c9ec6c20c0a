"""A response as clients read it: every field that Open Responses lists is there, null where it is empty."""

import time
from typing import Literal, TypeAlias

import msgspec

from agent_api.openai.responses_request import (
    AllowedTools,
    FunctionChoice,
    FunctionTool,
    Item,
    ReasoningField,
    ResponseRequest,
    TextField,
)
from agent_core.messages import FinishReason, Usage

Status: TypeAlias = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
_REASONS = {FinishReason.LENGTH: "max_output_tokens", FinishReason.CONTENT_FILTER: "content_filter"}


class InputDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the input's tokens."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Of the output's tokens."""

    reasoning_tokens: int


class ResponseUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens spent; of an agent's run, by all its turns."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """Why the answer was cut."""

    reason: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer."""

    code: str
    message: str


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status
    incomplete_details: Incomplete | None = None
    model: str
    previous_response_id: str | None
    conversation: dict[str, str] | None
    instructions: str | None
    output: list[Item] = []
    error: Failure | None = None
    tools: list[FunctionTool]
    tool_choice: str | FunctionChoice | AllowedTools
    truncation: str
    parallel_tool_calls: bool
    text: TextField
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    temperature: float
    reasoning: ReasoningField | None
    usage: ResponseUsage | None = None
    max_output_tokens: int | None
    max_tool_calls: int | None
    store: bool
    background: bool
    service_tier: str = "default"
    metadata: dict[str, str]
    safety_identifier: str | None
    prompt_cache_key: str | None


def begun(request: ResponseRequest, response_id: str) -> Response:
    """The response while nothing is said yet."""
    return Response(
        id=response_id,
        created_at=int(time.time()),
        status="in_progress",
        model=request.model,
        previous_response_id=request.previous_response_id,
        conversation={"id": request.conversation_id} if request.conversation_id else None,
        instructions=request.instructions,
        tools=request.tools or [],
        tool_choice=request.tool_choice or "auto",
        truncation=request.truncation or "disabled",
        parallel_tool_calls=request.parallel_tool_calls is not False,
        text=request.text or TextField(),
        top_p=1.0 if request.top_p is None else request.top_p,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        top_logprobs=request.top_logprobs or 0,
        temperature=1.0 if request.temperature is None else request.temperature,
        reasoning=request.reasoning,
        max_output_tokens=request.max_output_tokens,
        max_tool_calls=request.max_tool_calls,
        store=request.store is not False,
        background=request.background is True,
        metadata=request.metadata or {},
        safety_identifier=request.safety_identifier,
        prompt_cache_key=request.prompt_cache_key,
    )


def ended(response: Response, output: list[Item], finish_reason: FinishReason, usage: Usage) -> Response:
    """The response with its answer; one that was cut is incomplete."""
    reason = _REASONS.get(finish_reason)
    return msgspec.structs.replace(
        response,
        status="incomplete" if reason else "completed",
        completed_at=None if reason else int(time.time()),
        incomplete_details=Incomplete(reason=reason) if reason else None,
        output=output,
        usage=usage_of(usage),
    )


def usage_of(usage: Usage) -> ResponseUsage:
    """Tokens as clients read them."""
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputDetails(
            cached_tokens=usage.cached_input_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        output_tokens=usage.output_tokens + usage.reasoning_tokens,
        output_tokens_details=OutputDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.total_tokens,
    )


def failed(response: Response, output: list[Item], message: str) -> Response:
    """The response that has no answer."""
    error = Failure(code="server_error", message=message)
    return msgspec.structs.replace(response, status="failed", output=output, error=error)
