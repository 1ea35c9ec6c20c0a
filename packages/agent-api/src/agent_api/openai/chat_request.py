"""The body of `POST /v1/chat/completions`, and the same in the words of agent-core. Fields that are not known are not looked at."""

from typing import Annotated, Any, Literal, TypeAlias, cast

import msgspec

from agent_api.errors import InvalidRequestError
from agent_api.openai.pieces import file_of, image_of
from agent_api.openai.unserved import check_unserved, penalties_of
from agent_core.chat import Constraint, Effort, JsonSchema, ModelRequest, NamedTool, ToolChoice
from agent_core.json_types import JsonObject
from agent_core.messages import File, Image, Message, Part, Text
from agent_core.tools import ToolCall, ToolResult, ToolSpec


class TextPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str


class RefusalPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """With these words the model declined."""

    refusal: str


class ImageUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A picture, by its address or as a `data:` URL."""

    url: str
    detail: Literal["auto", "low", "high"] | None = "auto"


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrl


class FileField(msgspec.Struct, frozen=True, kw_only=True):
    """A document as a `data:` URL, or one that the provider holds."""

    file_data: str | None = ""
    file_id: str | None = ""
    filename: str | None = ""


class FilePart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file"):
    """A document."""

    file: FileField


class AudioField(msgspec.Struct, frozen=True, kw_only=True):
    """A sound in base64."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    """A sound."""

    input_audio: AudioField


ContentPart: TypeAlias = TextPart | RefusalPart | ImagePart | FilePart | AudioPart
Content: TypeAlias = str | list[ContentPart] | None


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True):
    """Which function, with which arguments as JSON text."""

    name: str
    arguments: str = ""


class CalledTool(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model made earlier."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class SystemMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="system"):
    """Instructions."""

    content: Content


class DeveloperMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="developer"):
    """Instructions, by their newer name."""

    content: Content


class UserMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """What a person said."""

    content: Content


class AssistantMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="assistant"):
    """What the model said."""

    content: Content = None
    refusal: str | None = None
    tool_calls: list[CalledTool] | None = None


class ToolMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    """What came back of a call."""

    tool_call_id: str
    content: Content


ChatMessage: TypeAlias = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the client runs."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of the client."""

    type: Literal["function"]
    function: Function


class FunctionName(msgspec.Struct, frozen=True, kw_only=True):
    """The name of a function."""

    name: str


class NamedChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The function that must be called."""

    type: Literal["function"]
    function: FunctionName


class SchemaField(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON schema with its name."""

    name: str
    schema: dict[str, object] = {}
    strict: bool | None = None


class TextFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Any text."""


class ObjectFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="json_object"):
    """Some JSON object."""


class SchemaFormat(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: SchemaField


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream has beside the answer."""

    include_usage: bool | None = None


Temperature: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Tokens: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Penalty: TypeAlias = Annotated[float, msgspec.Meta(ge=-2, le=2)]
EffortWord: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | ObjectFormat | SchemaFormat | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    reasoning_effort: EffortWord | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=1, description="One answer is given.")] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    functions: list[dict[str, object]] | None = None
    function_call: str | dict[str, object] | None = None
    modalities: list[str] | None = None
    audio: dict[str, object] | None = None
    web_search_options: dict[str, object] | None = None


_UNSERVED = {
    "logprobs": "the likelihoods of tokens are not told; leave it out",
    "top_logprobs": "the likelihoods of tokens are not told; leave it out",
    "functions": "say it in `tools`, which took its place",
    "function_call": "say it in `tool_choice`, which took its place",
    "modalities": "an answer is text alone; leave it out",
    "audio": "an answer is text alone; leave it out",
    "web_search_options": "the agent searches by its skills, a model by the tools of the client; leave it out",
}


def check_served(request: ChatRequest) -> None:
    """Hold that the request asks for nothing that nobody gives.

    Raises:
        InvalidRequestError: it does; says which field.
    """
    asked: dict[str, object] = {name: getattr(request, name) for name in _UNSERVED}
    asked |= {
        "modalities": [one for one in request.modalities or () if one != "text"],
        "web_search_options": request.web_search_options is not None,
    }
    check_unserved(asked, _UNSERVED)


def messages_of(request: ChatRequest) -> list[Message]:
    """The conversation, in the words of agent-core.

    Raises:
        InvalidRequestError: a part that cannot be read, or a result that no call waits for; says which.
    """
    called_ids: set[str] = set()
    for place, one in enumerate(request.messages):
        if isinstance(one, AssistantMessage):
            called_ids.update(call.id for call in one.tool_calls or ())
        elif isinstance(one, ToolMessage) and one.tool_call_id not in called_ids:
            raise InvalidRequestError(
                f"there is no tool call {one.tool_call_id!r} before its result",
                param=f"messages[{place}].tool_call_id",
            )
    return [_message(one, f"messages[{place}]") for place, one in enumerate(request.messages)]


def model_request(request: ChatRequest, messages: list[Message]) -> ModelRequest:
    """The question to the model.

    Raises:
        InvalidRequestError: the choice names a tool that is not there.
    """
    return ModelRequest(
        messages=messages,
        tools=tuple(_spec(tool.function) for tool in request.tools or ()),
        tool_choice=_choice(request),
        parallel_tool_calls=request.parallel_tool_calls,
        constraint=constraint_of(request),
        max_output_tokens=request.max_completion_tokens or request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=_stop(request.stop),
        seed=request.seed,
        effort=effort_of(request.reasoning_effort),
        extra={**penalties_of(request), **({"logit_bias": request.logit_bias} if request.logit_bias else {})},
    )


def effort_of(word: EffortWord | None) -> Effort | None:
    """The effort in our words."""
    return "max" if word == "xhigh" else word


def constraint_of(request: ChatRequest) -> Constraint | None:
    """What the answer is held to."""
    match request.response_format:
        case ObjectFormat():
            return JsonSchema(schema={"type": "object"})
        case SchemaFormat(json_schema=field):
            return JsonSchema(schema=field.schema, name=field.name)
        case _:
            return None


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _choice(request: ChatRequest) -> ToolChoice:
    choice = request.tool_choice
    if isinstance(choice, NamedChoice):
        if choice.function.name not in {tool.function.name for tool in request.tools or ()}:
            raise InvalidRequestError(
                f"there is no tool {choice.function.name!r} in `tools`", param="tool_choice"
            )
        return NamedTool(name=choice.function.name)
    return choice or "auto"


def _spec(function: Function) -> ToolSpec:
    return ToolSpec(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {"type": "object", "properties": {}},
    )


def _message(message: ChatMessage, where: str) -> Message:
    match message:
        case SystemMessage() | DeveloperMessage():
            return Message(role="system", parts=_parts(message.content, where))
        case UserMessage():
            return Message(role="user", parts=_parts(message.content, where))
        case AssistantMessage():
            refused = (Text(text=message.refusal, refusal=True),) if message.refusal else ()
            calls = tuple(
                called(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()
            )
            return Message(role="assistant", parts=(*_parts(message.content, where), *refused, *calls))
        case ToolMessage():
            result = result_of(message.tool_call_id, _parts(message.content, where))
            return Message(role="tool", parts=(result,))


def result_of(tool_call_id: str, parts: tuple[Part, ...]) -> ToolResult:
    """What came back of a call: its text, and the pictures and files beside it."""
    text = "".join([part.text for part in parts if isinstance(part, Text)])
    attached = tuple(part for part in parts if isinstance(part, Image | File))
    return ToolResult(tool_call_id=tool_call_id, content=text, attachments=attached)


def called(tool_call_id: str, name: str, arguments: str) -> ToolCall:
    """A call whose arguments are JSON text."""
    try:
        read: Any = msgspec.json.decode(arguments) if arguments.strip() else {}
    except msgspec.DecodeError:
        read = None
    if not isinstance(read, dict):
        return ToolCall(tool_call_id=tool_call_id, name=name, arguments={}, malformed=arguments)
    return ToolCall(tool_call_id=tool_call_id, name=name, arguments=cast("JsonObject", read))


def _parts(content: Content, where: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(text=content),)
    return tuple(_part(part, f"{where}.content[{place}]") for place, part in enumerate(content))


def _part(part: ContentPart, where: str) -> Part:
    match part:
        case TextPart():
            return Text(text=part.text)
        case RefusalPart():
            return Text(text=part.refusal, refusal=True)
        case ImagePart(image_url=image):
            return image_of(image.url, image.detail or "auto", where)
        case AudioPart(input_audio=audio):
            return file_of(f"data:audio/{audio.format};base64,{audio.data}", where=where)
        case FilePart(file=file):
            return file_of(
                file.file_data or "", file_id=file.file_id or "", name=file.filename or "", where=where
            )
