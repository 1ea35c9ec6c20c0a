"""What a tool of an MCP server returned, as text for the model, and as pictures for one that looks at them. Pure."""

import base64
from typing import Any

import msgspec

from agent_core.json_types import JsonObject
from agent_core.media import Image
from agent_skills.decoded import as_list, as_object
from agent_skills.mcp.client.hygiene import without_hidden

_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What every provider that takes pictures takes."""
_MAX_BASE64_CHARS = 5 * 1024 * 1024
"""Of one; the least that a provider takes (Anthropic, November 2026)."""
_MAX_PICTURES = 8
"""Of one result: they go to the journal, and to the model again with every turn."""


def as_text(result: JsonObject) -> str:
    """The parts of a result, one below the other; where there are none, its structured content as JSON.

    Pictures, sounds and files are named, with their size: their bytes are nothing to read.
    """
    parts = [_part(as_object(one)) for one in as_list(result.get("content"))]
    text = "\n".join(part for part in parts if part)
    if not text and "structuredContent" in result:
        text = msgspec.json.encode(result["structuredContent"]).decode()
    return without_hidden(text)


def as_pictures(result: JsonObject) -> tuple[Image, ...]:
    """The pictures of a result, which `as_text` names, those that no provider would take left out.

    Sounds and other files are named alone: one that a model does not know costs the whole request.
    """
    pictures = [_picture(as_object(one)) for one in as_list(result.get("content"))]
    return tuple(one for one in pictures if one is not None)[:_MAX_PICTURES]


def _picture(part: dict[str, Any]) -> Image | None:
    match part.get("type"):
        case "image":
            media_type, data = part.get("mimeType"), part.get("data")
        case "resource":
            inner = as_object(part.get("resource"))
            media_type, data = inner.get("mimeType"), inner.get("blob")
        case _:
            return None
    if media_type not in _PICTURES or not isinstance(data, str) or len(data) > _MAX_BASE64_CHARS:
        return None
    try:
        read = base64.b64decode(data, validate=True)
    except ValueError:
        return None
    return Image(data=read, media_type=str(media_type)) if read else None


def _part(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "text":
            return str(part.get("text", ""))
        case "image" | "audio" as kind:
            return f"[{kind}, {part.get('mimeType', 'unknown')}, {_size(part.get('data'))}]"
        case "resource":
            inner = as_object(part.get("resource"))
            if "text" in inner:
                return f"{inner.get('uri', '')}:\n{inner['text']}"
            return f"[file {inner.get('uri', '')}, {inner.get('mimeType', 'unknown')}, {_size(inner.get('blob'))}]"
        case "resource_link":
            return f"[link {part.get('uri', '')}: {part.get('title') or part.get('name', '')}]"
        case kind:
            return f"[a part of kind {kind!r}]"


def _size(base64_text: object) -> str:
    return f"{len(str(base64_text or '')) * 3 // 4:,} bytes"
