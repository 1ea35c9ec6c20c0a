"""`/v1/conversations`."""

from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from agent_api.access.scopes import Scope
from agent_api.errors import NotFoundError
from agent_api.openai import items as parsing
from agent_api.openai import responding, response_store
from agent_api.openai.caller import Caller
from agent_api.openai.lists import ItemList, page
from agent_api.openai.responses_request import Item, Metadata


class NewConversation(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/conversations`."""

    metadata: Metadata | None = None
    items: Annotated[list[Item], msgspec.Meta(max_length=20)] | None = None


class UpdateConversation(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/conversations/{id}`."""

    metadata: Metadata


class NewItems(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/conversations/{id}/items`."""

    items: Annotated[list[Item], msgspec.Meta(max_length=20)]


class ShownConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation without its items."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """That a conversation is forgotten."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


class ConversationsController(Controller):
    """Conversations of one tenant."""

    path = "/v1/conversations"
    tags = ("openai",)
    opt = {"scope": Scope.MODELS_USE}  # noqa: RUF012  # the framework's attribute

    @post(status_code=HTTP_200_OK, summary="Begin a conversation")
    async def create(
        self,
        data: JSONBody[NewConversation],
        caller: NamedDependency[Caller],
    ) -> ShownConversation:
        """A conversation, with the items that it begins with."""
        attempt, store = caller.attempt, responding.store_of(caller)
        if attempt.is_again and (known := await store.conversation(attempt.stem_id("conv"))) is not None:
            return _shown(known)
        items = parsing.checked(data.items, seal=caller.seal, param="items", new_id=attempt.new_id)
        begun = response_store.new_conversation(attempt.new_id("conv"), data.metadata or {})
        await store.create(begun, items)
        return _shown(begun)

    @get("/{conversation_id:str}", summary="Look at a conversation")
    async def show(
        self,
        conversation_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> ShownConversation:
        """A conversation without its items."""
        return _shown(await _found(caller, conversation_id))

    @post("/{conversation_id:str}", status_code=HTTP_200_OK, summary="Change a conversation's metadata")
    async def update(
        self,
        conversation_id: FromPath[str],
        data: JSONBody[UpdateConversation],
        caller: NamedDependency[Caller],
    ) -> ShownConversation:
        """Other metadata in the place of what was there."""
        found = await _found(caller, conversation_id)
        await responding.store_of(caller).update(conversation_id, data.metadata)
        return _shown(msgspec.structs.replace(found, metadata=data.metadata))

    @delete("/{conversation_id:str}", status_code=HTTP_200_OK, summary="Forget a conversation")
    async def drop(
        self,
        conversation_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> Dropped:
        """Its items go too; its responses, and the runs that they were, stay."""
        await _found(caller, conversation_id)
        await responding.store_of(caller).drop(conversation_id)
        return Dropped(id=conversation_id)

    @get("/{conversation_id:str}/items", summary="List a conversation's items")
    async def all(
        self,
        conversation_id: FromPath[str],
        caller: NamedDependency[Caller],
        after: Annotated[str, QueryParameter(description="Only items behind this one.")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
    ) -> ItemList:
        """The newest first."""
        items = await responding.conversation_items(caller, conversation_id)
        return page(items, after=after, limit=limit, order=order)

    @post("/{conversation_id:str}/items", status_code=HTTP_200_OK, summary="Add items to a conversation")
    async def add(
        self,
        conversation_id: FromPath[str],
        data: JSONBody[NewItems],
        caller: NamedDependency[Caller],
    ) -> ItemList:
        """More at its end."""
        known = await responding.conversation_items(caller, conversation_id)
        items = parsing.checked(
            data.items, known, seal=caller.seal, param="items", new_id=caller.attempt.new_id
        )
        await responding.store_of(caller).add_items(conversation_id, items)
        return page(items, after="", limit=len(items), order="asc")

    @get("/{conversation_id:str}/items/{item_id:str}", summary="Look at an item")
    async def item(
        self,
        conversation_id: FromPath[str],
        item_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> Item:
        """One item of a conversation."""
        for item in await responding.conversation_items(caller, conversation_id):
            if item["id"] == item_id:
                return item
        raise NotFoundError(f"there is no item {item_id!r} in conversation {conversation_id!r}")

    @delete("/{conversation_id:str}/items/{item_id:str}", status_code=HTTP_200_OK, summary="Forget an item")
    async def drop_item(
        self,
        conversation_id: FromPath[str],
        item_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> ShownConversation:
        """What is forgotten is not told to a model again."""
        found = await _found(caller, conversation_id)
        if not await responding.store_of(caller).drop_item(conversation_id, item_id):
            raise NotFoundError(f"there is no item {item_id!r} in conversation {conversation_id!r}")
        return _shown(found)


async def _found(caller: Caller, conversation_id: str) -> response_store.Conversation:
    found = await responding.store_of(caller).conversation(conversation_id)
    if found is None:
        raise NotFoundError(f"there is no conversation {conversation_id!r}")
    return found


def _shown(conversation: response_store.Conversation) -> ShownConversation:
    return ShownConversation(
        id=conversation.id, created_at=conversation.created_at, metadata=conversation.metadata
    )
