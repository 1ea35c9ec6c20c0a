"""JSON without the module `json`, whose imports take as long as the interpreter's own start: by the C parts that it uses.

They are no public names, so whatever is not as expected here falls back to `json`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` would cost each start some milliseconds
if TYPE_CHECKING:
    from typing import Any


class _Plain:
    """What a scanner asks for: how `json` reads when nothing is said."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo: dict[str, str] = {}  # noqa: RUF012 - the protocol


def loads(line: bytes) -> Any:
    """The value of a line that begins with it."""
    return _scan(line.decode(), 0)[0]


def dumps(value: object) -> str:
    """A value in one line.

    Raises:
        TypeError: it is no JSON, or a part of it.
        ValueError: it holds itself.
        RecursionError: it is too deep.
    """
    return "".join(_encoder({}, _refuse, _string, None, ":", ",", False, False, True)(value, 0))


def _refuse(value: object) -> object:
    raise TypeError(f"a {type(value).__name__} is no JSON")


def _works() -> bool:
    """Whether the C parts are as they were when this was written."""
    value, text = {"a": [1, 2.5, "x", None]}, '{"a":[1,2.5,"x",null]}'
    return bool(loads(text.encode()) == value and dumps(value) == text)


try:
    from _json import encode_basestring_ascii as _string
    from _json import make_encoder as _encoder
    from _json import make_scanner

    _scan = make_scanner(_Plain)  # type: ignore[arg-type] # typeshed wants a scanner to make a scanner
    _is_as_expected = _works()
except (ImportError, TypeError, AttributeError):
    _is_as_expected = False

if not _is_as_expected:
    import json

    def loads(line: bytes) -> Any:
        """The value of a line."""
        return json.loads(line)

    def dumps(value: object) -> str:
        """A value in one line."""
        return json.dumps(value, separators=(",", ":"))
