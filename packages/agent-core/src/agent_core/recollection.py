"""Marks what was recalled, so that it is known for what it is: it is never stored again, and is nobody's word. Pure.

A memory that takes in its own recollections fills up with copies of copies; so the marks are looked for in whatever is
added, by any caller. And what is recalled stands in a message of the user's, though it may be what a page said weeks ago:
`taint` reads it as such.
"""

import re

_OPEN, _CLOSE = "<recalled>", "</recalled>"
_RECALLED = re.compile(r"<recalled>(.*?)(?:</recalled>|\Z)", re.DOTALL)
_TAG = re.compile(r"<(/?)(recalled)>")


def recalled(text: str) -> str:
    """`text`, marked as recalled. Marks that it holds itself are made harmless."""
    harmless = _TAG.sub(r"[\1\2]", text)
    return f"{_OPEN}\n{harmless}\n{_CLOSE}"


NOT_SHOWN = recalled("More was said and read before this than is shown here.")
"""Stands in a conversation for what was read in it and is not in it any more: what was said of that since may still be, so it
counts as something that was recalled.
"""


def without_recalled(text: str) -> str:
    """`text` without what is marked as recalled; a mark that is never closed reaches to the end."""
    return _RECALLED.sub("", text) if _OPEN in text else text


def recollections(text: str) -> list[str]:
    """What is marked as recalled in `text`."""
    return _RECALLED.findall(text) if _OPEN in text else []
