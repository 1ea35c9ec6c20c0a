"""The body of `POST /v1/responses`, and the same in the words of agent-core. Fields that are not known are not looked at."""

from collections.abc import Container, Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

from agent_api.errors import InvalidRequestError
from agent_api.openai.chat_request import EffortWord, Penalty, Temperature, Tokens, TopP, effort_of
from agent_api.openai.unserved import LOGPROBS, check_unserved, penalties_of
from agent_core.chat import Constraint, JsonSchema, ModelRequest, NamedTool, ToolChoice
from agent_core.messages import Message
from agent_core.tools import ToolSpec

Item: TypeAlias = dict[str, object]
"""An item of input or output, as clients write and read it."""
Metadata: TypeAlias = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=512)]],
    msgspec.Meta(max_length=16),
]


class FunctionTool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the client runs."""

    type: Literal["function"] = "function"
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class FunctionChoice(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """A function by its name."""

    name: str


class AllowedTools(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="allowed_tools"):
    """The tools that may be called this time; the others are not offered."""

    tools: Annotated[list[FunctionChoice], msgspec.Meta(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] = "auto"


class PlainFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Any text."""


class ObjectFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    """Some JSON object."""


class SchemaFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    name: str
    schema: dict[str, object]
    description: str | None = None
    strict: bool | None = True


class TextField(msgspec.Struct, frozen=True, kw_only=True):
    """What the text of the answer looks like."""

    format: PlainFormat | ObjectFormat | SchemaFormat = PlainFormat()
    verbosity: Literal["low", "medium", "high"] | msgspec.UnsetType | None = msgspec.UNSET


class ReasoningField(msgspec.Struct, frozen=True, kw_only=True):
    """How much to think."""

    effort: EffortWord | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationId(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation by its id."""

    id: str


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/responses`."""

    model: str
    input: str | list[Item] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationId | None = None
    store: bool | None = True
    background: bool | None = False
    stream: bool | None = False
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    text: TextField | None = None
    reasoning: ReasoningField | None = None
    max_output_tokens: Tokens | None = None
    max_tool_calls: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    include: list[str] | None = None
    prompt: dict[str, object] | None = None
    context_management: list[dict[str, object]] | None = None

    @property
    def conversation_id(self) -> str:
        """The conversation that it belongs to; empty: none."""
        if isinstance(self.conversation, ConversationId):
            return self.conversation.id
        return self.conversation or ""


_UNSERVED = {
    "top_logprobs": "the likelihoods of tokens are not told; leave it out",
    "include": f"the likelihoods of tokens are not told; leave `{LOGPROBS}` out",
    "prompt": "no prompts are kept here; say it in `instructions`",
    "context_management": "the agent makes room by itself, and `POST /v1/responses/compact` makes a conversation short",
    "max_tool_calls": "how often the agent calls its skills is set by its limits (`agent config`); leave it out",
}


def check_served(request: ResponseRequest, *, is_agent: bool) -> None:
    """Hold that the request asks for nothing that nobody gives.

    Raises:
        InvalidRequestError: it does; says which field.
    """
    asked: dict[str, object] = {name: getattr(request, name) for name in _UNSERVED}
    asked |= {
        "include": LOGPROBS in (request.include or ()),
        "prompt": request.prompt is not None,
        # Calls of the client's tools are not counted, and without the agent's skills there are no others.
        "max_tool_calls": is_agent and not request.tools and request.max_tool_calls,
    }
    check_unserved(asked, _UNSERVED)


def model_request(request: ResponseRequest, messages: list[Message]) -> ModelRequest:
    """The question to the model.

    Raises:
        InvalidRequestError: the choice names a tool that is not there.
    """
    return ModelRequest(
        messages=messages,
        tools=tuple(_spec(tool) for tool in _offered(request)),
        tool_choice=_choice(request),
        parallel_tool_calls=request.parallel_tool_calls,
        constraint=constraint_of(request),
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        effort=effort_of(request.reasoning.effort) if request.reasoning else None,
        extra=penalties_of(request),
    )


def constraint_of(request: ResponseRequest) -> Constraint | None:
    """What the answer is held to."""
    match request.text.format if request.text else None:
        case ObjectFormat():
            return JsonSchema(schema={"type": "object"})
        case SchemaFormat(name=name, schema=schema):
            return JsonSchema(schema=schema, name=name)
        case _:
            return None


def _choice(request: ResponseRequest) -> ToolChoice:
    known = {tool.name for tool in request.tools or ()}
    match request.tool_choice:
        case FunctionChoice(name=name):
            _check_known((name,), known)
            return NamedTool(name=name)
        case AllowedTools(tools=tools, mode=mode):
            _check_known((tool.name for tool in tools), known)
            return mode
        case choice:
            return choice or "auto"


def _check_known(names: Iterable[str], known: Container[str]) -> None:
    for name in names:
        if name not in known:
            raise InvalidRequestError(f"there is no tool {name!r} in `tools`", param="tool_choice")


def _offered(request: ResponseRequest) -> Sequence[FunctionTool]:
    tools, choice = request.tools or (), request.tool_choice
    if not isinstance(choice, AllowedTools):
        return tools
    allowed = {tool.name for tool in choice.tools}
    return [tool for tool in tools if tool.name in allowed]


def _spec(tool: FunctionTool) -> ToolSpec:
    return ToolSpec(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.parameters or {"type": "object", "properties": {}},
    )
