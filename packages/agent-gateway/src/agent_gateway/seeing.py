"""What tools attached to their results, for a model that cannot look at it. Pure."""

import msgspec

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.messages import File, Image, Message, Part
from agent_core.tools import ToolResult


def as_seen(request: ModelRequest, profile: ModelProfile) -> ModelRequest:
    """`request` without the pictures and files of tools, where the model does not look at images.

    A tool does not know who reads its result, and its words say what it attached; servers refuse the whole request for
    it. What a person attached stays: to be told that the model cannot see it is better than an answer past it.
    """
    if profile.vision or not any(map(_has_media, request.messages)):
        return request
    messages = [_bare(message) if _has_media(message) else message for message in request.messages]
    return msgspec.structs.replace(request, messages=messages)


def _has_media(message: Message) -> bool:
    return message.role == "tool" and any(result.attachments for result in message.tool_results)


def _bare(message: Message) -> Message:
    return msgspec.structs.replace(message, parts=tuple(map(_without_media, message.parts)))


def _without_media(part: Part) -> Part:
    if not isinstance(part, ToolResult):
        return part
    kept = tuple(one for one in part.attachments if not isinstance(one, Image | File))
    return msgspec.structs.replace(part, attachments=kept)
