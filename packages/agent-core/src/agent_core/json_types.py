"""JSON values as types. Owns nothing else: encoding of the journal is in `codec`, schemas are in agent-skills."""

from collections.abc import Mapping
from typing import TypeAlias

JsonObject: TypeAlias = Mapping[str, object]
"""A decoded JSON object. The values are `None`, `bool`, `int`, `float`, `str`, `list` or `dict` of the same."""
