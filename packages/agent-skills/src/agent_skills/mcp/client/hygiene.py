"""What is wrong with a tool before anybody reads it: texts that hide something, sizes that flood, names that mislead. Pure.

What a description *says* cannot be judged by a rule, and is not tried: that is what pinning and labels are for.
"""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.decoded import as_list, as_object
from agent_skills.mcp import headers

MAX_TOOLS = 200
MAX_DESCRIPTION_CHARS = 8_000
MAX_DEFINITION_BYTES = 64_000
MAX_DEPTH = 32

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_HIDDEN = frozenset({"Cf", "Cs", "Co", "Cn"})
"""Unicode categories that show nothing: format characters (zero width, direction, tags), surrogates, private, unassigned."""
_SHOWN = frozenset("\n\t\r")


def fault_of(tool: JsonObject) -> str:
    """Why a tool is not offered to anybody, in one line; empty: nothing is wrong with it."""
    name = tool.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return "its name is no name of a tool"
    if _depth(tool) > MAX_DEPTH:
        return f"its definition is nested over {MAX_DEPTH} deep"
    if len(msgspec.json.encode(tool)) > MAX_DEFINITION_BYTES:
        return f"its definition is over {MAX_DEFINITION_BYTES:,} bytes"
    if len(str(tool.get("description", ""))) > MAX_DESCRIPTION_CHARS:
        return f"its description is over {MAX_DESCRIPTION_CHARS:,} characters"
    hidden = next((found for text in _texts(tool) if (found := hidden_in(text))), "")
    if hidden:
        return f"it holds a character that nobody sees ({hidden})"
    schema = as_object(tool.get("inputSchema"))
    if schema.get("type") != "object":
        return "its arguments are no object"
    try:
        headers.annotations(schema)
    except ValueError as error:
        return str(error)
    return ""


def hidden_in(text: str) -> str:
    """The first character of a text that shows nothing, as `U+200B`; empty: there is none."""
    if text.isascii() and text.isprintable():
        return ""
    return next((f"U+{ord(char):04X}" for char in text if _is_hidden(char)), "")


def without_hidden(text: str) -> str:
    """A text without the characters that show nothing: for results, which are read and not approved."""
    if text.isascii():
        return text
    return "".join(char for char in text if not _is_hidden(char))


def _is_hidden(char: str) -> bool:
    if char in _SHOWN:
        return False
    category = unicodedata.category(char)
    return category in _HIDDEN or category == "Cc"


def _texts(value: object) -> Iterator[str]:
    waiting: list[object] = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        waiting += as_list(one)
        members = as_object(one)
        waiting += [*members.keys(), *members.values()]


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [inner for one in level for inner in (*as_list(one), *as_object(one).values())]
    return depth
