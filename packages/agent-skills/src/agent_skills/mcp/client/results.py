"""What a tool of an MCP server returned, as text for the model. Pure."""

from typing import Any

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.mcp.client.hygiene import without_hidden


def as_text(result: JsonObject) -> str:
    """The parts of a result, one below the other; where there are none, its structured content as JSON.

    Pictures, sounds and files are named, with their size: their bytes are nothing to read.
    """
    parts = [_part(as_object(one)) for one in as_list(result.get("content"))]
    text = "\n".join(part for part in parts if part)
    if not text and "structuredContent" in result:
        text = msgspec.json.encode(result["structuredContent"]).decode()
    return without_hidden(text)


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
