"""Parts of messages in both revisions: texts, data and files as messages hold them, and the other way round. Pure."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from agent_api.errors import A2aRefusedError
from agent_core.json_types import JsonObject
from agent_core.messages import File, Image, Message, Text
from agent_skills.mcp.wire import Code

CONTENT_TYPE_NOT_SUPPORTED = -32005
UNKNOWN_TYPE = "application/octet-stream"
Said: TypeAlias = Text | Image | File
"""What a part may be here."""


def part_of(part: Mapping[str, Any]) -> Said:
    """A part of either revision.

    Raises:
        A2aRefusedError: it is neither a text, nor data, nor a file, or a file that cannot be read.
    """
    text = part.get("text")
    if isinstance(text, str):
        return Text(text=text)
    if "data" in part:
        return Text(text=msgspec.json.encode(part["data"]).decode())
    file = part.get("file")
    if isinstance(file, Mapping):  # of revision 0.3
        return _file(file.get("bytes"), file.get("uri"), file.get("mimeType"), file.get("name"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    if "raw" in part or "url" in part:
        return _file(part.get("raw"), part.get("url"), part.get("mediaType"), part.get("filename"))
    raise A2aRefusedError(CONTENT_TYPE_NOT_SUPPORTED, "a part is a text, data or a file")


def _file(data: object, url: object, media_type: object, name: object) -> Image | File:
    kind = media_type if isinstance(media_type, str) and media_type else UNKNOWN_TYPE
    called = name if isinstance(name, str) else ""
    is_image = kind.startswith("image/")
    if isinstance(data, str) and data:
        try:
            read = base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise A2aRefusedError(
                Code.INVALID_PARAMS, f"the bytes of a file are no base64: {error}"
            ) from None
        return (
            Image(data=read, media_type=kind) if is_image else File(data=read, media_type=kind, name=called)
        )
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return Image(url=url, media_type=kind) if is_image else File(url=url, media_type=kind, name=called)
    raise A2aRefusedError(Code.INVALID_PARAMS, "a file has its bytes in base64, or an address at http(s)")


def said_in(message: Message | None) -> tuple[Said, ...]:
    """What of a message another agent is shown."""
    parts = message.parts if message else ()
    return tuple(part for part in parts if isinstance(part, Text | Image | File) and _can_be_told(part))


def files_in(message: Message | None) -> tuple[Said, ...]:
    """The files of a message."""
    return tuple(part for part in said_in(message) if not isinstance(part, Text))


def _can_be_told(part: Said) -> bool:
    """A provider's own id of a file is of no use to anybody else."""
    return isinstance(part, Text) or bool(part.data or part.url)


def part_v1(part: Said) -> JsonObject:
    """A part as revision 1.0 writes it."""
    if isinstance(part, Text):
        return {"text": part.text}
    name = {"filename": part.name} if isinstance(part, File) and part.name else {}
    where = {"raw": base64.b64encode(part.data).decode()} if part.data else {"url": part.url}
    return {**where, "mediaType": part.media_type, **name}


def part_v03(part: Said) -> JsonObject:
    """A part as revision 0.3 writes it."""
    if isinstance(part, Text):
        return {"kind": "text", "text": part.text}
    name = {"name": part.name} if isinstance(part, File) and part.name else {}
    where = {"bytes": base64.b64encode(part.data).decode()} if part.data else {"uri": part.url}
    return {"kind": "file", "file": {**where, "mimeType": part.media_type, **name}}
