"""Decoded JSON and YAML, taken as what it should be: an object or an array, or an empty one where it is something else. Pure."""

from collections.abc import Iterable
from typing import Any, cast


def as_object(value: object) -> dict[str, Any]:
    """The value where it is an object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value where it is an array; else an empty one."""
    return list(cast("Iterable[Any]", value)) if isinstance(value, list) else []
