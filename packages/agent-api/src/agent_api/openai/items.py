"""Items of input and output: checked and completed as clients read them back, and as messages of agent-core."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Literal, TypeAlias, cast

import msgspec

from agent_api.errors import InvalidRequestError
from agent_api.openai.chat_request import called, result_of
from agent_api.openai.pieces import file_of, image_of
from agent_api.openai.responses_request import Item
from agent_api.openai.sealing import Opener
from agent_core.messages import Message, Part, Role, Text
from agent_core.system import SystemIds
from agent_memory.compaction import summary

Id: TypeAlias = str | None
ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
_ids = SystemIds()


class InputText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    """Text that a person wrote."""

    text: str


class PlainText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    text: str


class TokenLikelihood(msgspec.Struct, frozen=True, kw_only=True):
    """A token that might have been said."""

    token: str
    logprob: float
    bytes: list[int] = []


class TokenLikelihoods(TokenLikelihood, frozen=True, kw_only=True):
    """A token that another server's model said, and those that it might have said."""

    top_logprobs: list[TokenLikelihood] = []


class FileCitation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file_citation"):
    """A file that another server's model cites."""

    file_id: str
    index: int
    filename: str


class UrlCitation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="url_citation"):
    """A page that it cites."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://\S+$")]
    start_index: int
    end_index: int
    title: str


class ContainerCitation(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="container_file_citation"
):
    """A file of its sandbox that it cites."""

    container_id: str
    file_id: str
    start_index: int
    end_index: int
    filename: str


class FilePath(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file_path"):
    """A file that it made."""

    file_id: str
    index: int


Annotation: TypeAlias = FileCitation | UrlCitation | ContainerCitation | FilePath


class OutputText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text that a model wrote."""

    text: str
    annotations: list[Annotation] = []
    logprobs: list[TokenLikelihoods] = []


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """With these words the model declined."""

    refusal: str


class InputImage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="input_image"):
    """A picture."""

    image_url: str = ""
    file_id: str | msgspec.UnsetType = msgspec.UNSET
    detail: Literal["auto", "low", "high", "original"] = "auto"


class InputFile(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="input_file"
):
    """A document."""

    filename: str = ""
    file_data: str = ""
    file_url: str = ""
    file_id: str = ""


Content: TypeAlias = InputText | PlainText | OutputText | Refusal | InputImage | InputFile


class MessageItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """What somebody said."""

    id: Id = None
    status: ItemStatus | None = "completed"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Content]
    phase: Literal["commentary", "final_answer"] | msgspec.UnsetType = msgspec.UNSET
    """What the model said it for: on the way, or as the answer."""


class CallItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call that the model made."""

    id: Id = None
    call_id: str
    name: str
    arguments: str
    status: ItemStatus | None = "completed"


class CallOutputItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    """What came back of it."""

    id: Id = None
    call_id: str
    output: str | list[Content]
    status: ItemStatus | None = "completed"


class SummaryText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text"):
    """A summary of a thought."""

    text: str


class ReasoningItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought; it is kept, and not told to the model again."""

    id: Id = None
    summary: list[SummaryText] = []


class CompactionItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="compaction"):
    """A summary of what was said, sealed."""

    id: Id = None
    encrypted_content: str


class ItemReference(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="item_reference"):
    """An item that was there before."""

    id: str


Known: TypeAlias = MessageItem | CallItem | CallOutputItem | ReasoningItem | CompactionItem | ItemReference
_PREFIXES: Mapping[type[Known], str] = {
    MessageItem: "msg",
    CallItem: "fc",
    CallOutputItem: "fco",
    ReasoningItem: "rs",
    CompactionItem: "cmp",
}


def checked(
    given: str | list[Item] | None,
    known: Iterable[Item] = (),
    *,
    seal: Opener,
    param: str = "input",
    new_id: Callable[[str], str] = _ids.new,
) -> list[Item]:
    """Items with every field that they are read back with.

    Args:
        given: As the client sent them; a text is what a person said.
        known: Items that may be referred to.
        seal: Opens what was given out sealed.
        param: The field that an error names.
        new_id: Names an item that has no id, by the prefix of its kind.

    Raises:
        InvalidRequestError: an item that cannot be read; says which.
    """
    if given is None:
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    by_id = {str(item["id"]): item for item in known}
    return [_checked(item, by_id, seal, f"{param}[{place}]", new_id) for place, item in enumerate(given)]


def _checked(
    item: Item, by_id: Mapping[str, Item], seal: Opener, where: str, new_id: Callable[[str], str]
) -> Item:
    read = _read(item, where)
    if isinstance(read, ItemReference):
        if read.id not in by_id:
            raise InvalidRequestError(f"there is no item {read.id!r} before this one", param=where)
        return by_id[read.id]
    if isinstance(read, MessageItem) and isinstance(read.content, str):
        text = OutputText if read.role == "assistant" else InputText
        read = msgspec.structs.replace(read, content=[text(text=read.content)])
    _message(read, seal, where)  # what cannot be told to a model is refused now
    shown = read if read.id else msgspec.structs.replace(read, id=new_id(_PREFIXES[type(read)]))
    if isinstance(shown, MessageItem | CallItem | CallOutputItem) and shown.status is None:
        shown = msgspec.structs.replace(shown, status="completed")
    done: Item = msgspec.to_builtins(shown)
    return done


def _read(item: Item, where: str) -> Known:
    typed = without_nulls(item)
    if not typed.get("type"):
        typed["type"] = "message" if "role" in typed else "item_reference"
    try:
        read: Known = msgspec.convert(typed, Known)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidRequestError(
            f"{where}{path.rstrip('`')}: {reason}", param=where + path.rstrip("`")
        ) from error
    return read


def without_nulls(item: Item) -> Item:
    """The item without the fields that are null, in its parts too: clients that read items into classes send them so.
    A type that is null says nothing of what the item is: it stays, to be found wrong.
    """
    return {name: _bare(value) for name, value in item.items() if value is not None or name == "type"}


def _bare(value: object) -> object:
    if not isinstance(value, list):
        return value
    parts = cast("list[object]", value)
    return [without_nulls(cast("Item", part)) if isinstance(part, dict) else part for part in parts]


def check_results(items: Sequence[Item]) -> None:
    """Hold that every result belongs to a call before it.

    Raises:
        InvalidRequestError: one that no call waits for; providers refuse such a conversation.
    """
    called_ids: set[object] = set()
    for item in items:
        if item["type"] == "function_call":
            called_ids.add(item["call_id"])
        elif item["type"] == "function_call_output" and item["call_id"] not in called_ids:
            raise InvalidRequestError(
                f"there is no function call {item['call_id']!r} before its output", param="input"
            )


def messages_of(items: Sequence[Item], instructions: str | None = None, *, seal: Opener) -> list[Message]:
    """Checked items as a conversation. What the model said and called in one go is one message."""
    found: list[Message] = []
    if instructions:
        found.append(Message(role="system", parts=(Text(text=instructions),)))
    for place, item in enumerate(items):
        message = _message(_read(item, f"items[{place}]"), seal, f"items[{place}]")
        if message is None:
            continue
        if found and message.role == found[-1].role == "assistant":
            message = Message(role="assistant", parts=(*found.pop().parts, *message.parts))
        found.append(message)
    return found


def _message(item: Known, seal: Opener, where: str) -> Message | None:
    match item:
        case MessageItem(role=role, content=content):
            said: Role = "system" if role == "developer" else role
            return Message(role=said, parts=_phased(_parts(content, where), item.phase or ""))
        case CompactionItem(encrypted_content=sealed):
            return summary(seal.open(sealed, param=f"{where}.encrypted_content"))
        case CallItem():
            return Message(role="assistant", parts=(called(item.call_id, item.name, item.arguments),))
        case CallOutputItem():
            return Message(role="tool", parts=(result_of(item.call_id, _parts(item.output, where)),))
        case ReasoningItem() | ItemReference():
            return None


def _phased(parts: tuple[Part, ...], phase: str) -> tuple[Part, ...]:
    if not phase:
        return parts
    return tuple(
        msgspec.structs.replace(part, phase=phase) if isinstance(part, Text) else part for part in parts
    )


def _parts(content: str | list[Content], where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(text=content),)
    return tuple(_part(part, f"{where}.content[{place}]") for place, part in enumerate(content))


def _part(part: Content, where: str) -> Part:
    match part:
        case InputText() | PlainText() | OutputText():
            return Text(text=part.text)
        case Refusal():
            return Text(text=part.refusal, refusal=True)
        case InputImage():
            if part.file_id:
                raise InvalidRequestError(
                    "no files are kept here: send the picture by `image_url`", param=where
                )
            detail = "high" if part.detail == "original" else part.detail
            return image_of(part.image_url, detail, where)
        case InputFile():
            return file_of(
                part.file_data, url=part.file_url, file_id=part.file_id, name=part.filename, where=where
            )
