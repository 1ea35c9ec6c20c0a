"""Texts that a model or a page wrote, as a terminal may show them: what stands there is what is there, and it commands nothing.

A terminal obeys what it is sent: text may erase the line that a person reads before they approve, write to the clipboard, or
run from right to left.
"""

import json
import re
import unicodedata
from collections.abc import Mapping

_JOINERS = "\u200c\u200d"
"""They join letters and the parts of emoji, and hide nothing within a text."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_HOST = re.compile(r"[^\W_](?:[\w-]*\.)+[\w-]+")


def visible(text: str, *, kept: str = "\n\t" + _JOINERS) -> str:
    """A text in which what shows nothing, or steers a terminal, is written by its number; the characters `kept` stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in kept else _shown(char) for char in text)


def visible_call(name: str, arguments: Mapping[str, object]) -> str:
    """A call that a person decides on, on one line; hosts that only look like others are named as they are asked for."""
    line = visible(f"{name} {json.dumps(arguments, ensure_ascii=False)}", kept="")
    hosts = dict.fromkeys(host for host in _HOST.findall(line) if not host.isascii())
    return line + "".join(f"\n    {host} is {_asked_for(host)}" for host in hosts)


def _shown(char: str) -> str:
    return f"\\u{ord(char):04x}" if unicodedata.category(char) in _UNSEEN else char


def _asked_for(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return ascii(host)
