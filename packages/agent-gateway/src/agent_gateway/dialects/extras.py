"""Fields of the provider's own beside those that a dialect writes. Pure."""

from collections.abc import Mapping
from typing import cast


def add_extra(body: dict[str, object], extra: Mapping[str, object]) -> None:
    """Put `extra` into `body`: a list goes behind the one that is there, such as the provider's own tools behind
    ours; of two objects the fields are joined; anything else replaces what is there.
    """
    for name, value in extra.items():
        known = body.get(name)
        if isinstance(known, list) and isinstance(value, list):
            body[name] = [*cast("list[object]", known), *cast("list[object]", value)]
        elif isinstance(known, dict) and isinstance(value, Mapping):
            joined = dict(cast("dict[str, object]", known))
            add_extra(joined, cast("Mapping[str, object]", value))
            body[name] = joined
        else:
            body[name] = value
