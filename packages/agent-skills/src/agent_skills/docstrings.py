"""Reads the description of a skill and of its arguments out of a docstring (Google style).

Knows no types: what the arguments are is in `schema`.
"""

import inspect
import re
from typing import NamedTuple

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|Warnings?):\s*$")
_ARGUMENT = re.compile(r"(?P<indent>\s+)\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)$")


class Documentation(NamedTuple):
    """What a docstring says."""

    description: str
    """The text before the first section."""
    arguments: dict[str, str]
    """Argument name to its description, each on one line."""


def read_docstring(docstring: str | None) -> Documentation:
    """The description and the arguments of a docstring; both empty where there is none."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    head: list[str] = []
    arguments: list[str] = []
    section = ""
    for line in lines:
        if found := _SECTION.match(line):
            section = found[1]
        elif not section:
            head.append(line)
        elif section in {"Args", "Arguments", "Parameters"}:
            arguments.append(line)
    return Documentation("\n".join(head).strip(), _read_arguments(arguments))


def _read_arguments(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name, indent = "", ""
    for line in lines:
        match = _ARGUMENT.match(line)
        # Text that continues an argument is indented deeper than the arguments are.
        if match and (not indent or match["indent"] == indent):
            name, indent = match["name"], match["indent"]
            found[name] = match["text"].strip()
        elif name and line.strip():
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found
