"""A page of items."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from agent_api.openai.responses_request import Item


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    """Some items of a longer list."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str
    last_id: str
    has_more: bool


def page(items: Sequence[Item], *, after: str, limit: int, order: Literal["asc", "desc"]) -> ItemList:
    """The `limit` items behind item `after`; an item that is not there is behind nothing.

    Args:
        items: All of them, the oldest first.
        after: The id of an item; empty: from the beginning on.
        limit: How many at most.
        order: The oldest first, or the newest.
    """
    ordered = list(items) if order == "asc" else list(reversed(items))
    start = next((place + 1 for place, item in enumerate(ordered) if item["id"] == after), 0)
    shown = ordered[start : start + limit]
    ids = [str(item["id"]) for item in shown] or [""]
    return ItemList(data=shown, first_id=ids[0], last_id=ids[-1], has_more=len(ordered) > start + limit)
