"""Names of tools as the wire formats allow them. Pure."""

import re
from collections.abc import Mapping, Sequence

from agent_core.tools import ToolSpec

_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


def wire_names(tools: Sequence[ToolSpec]) -> dict[str, str]:
    """Wire name -> tool name: letters, digits, `_` and `-`, at most 64, the first a letter or `_`, suit every format."""
    names: dict[str, str] = {}
    for tool in tools:
        plain = candidate = wire_name(tool.name)
        number = 2
        while candidate in names:
            candidate = f"{plain[: _LONGEST_NAME - 4]}_{number}"
            number += 1
        names[candidate] = tool.name
    return names


def wire_name(name: str) -> str:
    """The nearest name that is allowed."""
    plain = _NOT_A_NAME.sub("_", name)[:_LONGEST_NAME] or "_"
    return plain if plain[0].isalpha() or plain[0] == "_" else f"_{plain[: _LONGEST_NAME - 1]}"


class Names:
    """The tools of one request: their names there and back."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.tool_of: Mapping[str, str] = wire_names(tools)
        self._wire_of = {name: wire for wire, name in self.tool_of.items()}

    def wire(self, name: str) -> str:
        """`name` as the wire has it, of a tool that is not offered any more too."""
        return self._wire_of.get(name) or wire_name(name)
