"""A page of items."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from agent_api.errors import InvalidRequestError
from agent_api.openai.responses_request import Item


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    """Some items of a longer list."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str
    last_id: str
    has_more: bool


def page(items: Sequence[Item], *, after: str, limit: int, order: Literal["asc", "desc"]) -> ItemList:
    """The `limit` items behind item `after`.

    Args:
        items: All of them, the oldest first.
        after: The id of an item; empty: from the beginning on.
        limit: How many at most.
        order: The oldest first, or the newest.

    Raises:
        InvalidRequestError: item `after` is not there.
    """
    ordered = list(items) if order == "asc" else list(reversed(items))
    start = 0
    if after:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise InvalidRequestError(f"there is no item {after!r} to go on behind", param="after")
        start = places[0] + 1
    shown = ordered[start : start + limit]
    ids = [str(item["id"]) for item in shown] or [""]
    return ItemList(data=shown, first_id=ids[0], last_id=ids[-1], has_more=len(ordered) > start + limit)
