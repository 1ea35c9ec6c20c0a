"""`/v1/responses`."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post
from litestar import Response as Reply
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK

from agent_api.access.scopes import Scope
from agent_api.errors import InvalidRequestError, NotFoundError
from agent_api.openai import compacting, responding
from agent_api.openai.caller import Caller
from agent_api.openai.chat_reply import DONE, PING
from agent_api.openai.chat_route import STREAM_HEADERS
from agent_api.openai.lists import ItemList, page
from agent_api.openai.resource import Response
from agent_api.openai.response_store import Stored
from agent_api.openai.responses_request import ResponseRequest
from agent_api.openai.talk import Waiting, begun
from agent_api.openai.tellings import frame


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """That a response is forgotten."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ResponsesController(Controller):
    """Responses of one tenant."""

    path = "/v1/responses"
    tags = ("openai",)

    @post(opt={"scope": Scope.MODELS_USE}, status_code=HTTP_200_OK, summary="Make a response")
    async def create(
        self,
        data: JSONBody[ResponseRequest],
        caller: NamedDependency[Caller],
    ) -> Reply[Response] | Stream:
        """The model `agent` answers by a durable run, which `X-Run-Id` names; others are asked directly."""
        exchange = await responding.begin(caller, data)
        run_id = exchange.stored.run_id
        headers = {"X-Run-Id": run_id} if run_id else {}
        if data.background and data.stream:
            return await _told(caller, exchange.stored, after=-1, headers=headers)
        if data.background:
            return Reply(exchange.stored.response, headers=headers)
        if not data.stream:
            return Reply(await responding.answered(caller, exchange), headers=headers)
        if not run_id:
            exchange = msgspec.structs.replace(exchange, talk=await begun(exchange.talk))
        return Stream(
            _frames(caller, exchange), media_type="text/event-stream", headers={**STREAM_HEADERS, **headers}
        )

    @post(
        "/compact",
        opt={"scope": Scope.MODELS_USE},
        status_code=HTTP_200_OK,
        summary="Make a conversation short",
    )
    async def compact(
        self, data: JSONBody[compacting.CompactRequest], caller: NamedDependency[Caller]
    ) -> compacting.Compacted:
        """What people said, and a summary of the whole in one sealed item: the input of the next response."""
        return await compacting.compacted(caller, data)

    @get("/{response_id:str}", opt={"scope": Scope.MODELS_USE}, summary="Look at a response")
    async def show(
        self,
        response_id: FromPath[str],
        caller: NamedDependency[Caller],
        stream: Annotated[
            bool,
            QueryParameter(description="Its events, where it was made with `background` and `stream`."),
        ] = False,
        starting_after: Annotated[
            int | None, QueryParameter(ge=0, description="Only events behind this `sequence_number`.")
        ] = None,
    ) -> Reply[Response] | Stream:
        """A response that was kept, as far as it has come; or its events, those that were and those that come."""
        stored = await responding.found(caller, response_id)
        if not stream:
            return Reply(stored.response)
        if not stored.is_told:
            raise InvalidRequestError(
                "its events are not kept: only those of a response that was made with `background` and `stream` are, for a "
                "day; leave `stream` out to see how far it has come",
                param="stream",
            )
        after = -1 if starting_after is None else starting_after
        return await _told(caller, stored, after=after, headers={})

    @delete(
        "/{response_id:str}",
        opt={"scope": Scope.MODELS_USE},
        status_code=HTTP_200_OK,
        summary="Forget a response",
    )
    async def forget(
        self,
        response_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> Deleted:
        """Nothing goes on from it any more; the run that it was stays in the journal."""
        if not await responding.store_of(caller).delete(response_id):
            raise NotFoundError(f"there is no response {response_id!r}")
        return Deleted(id=response_id)

    @post(
        "/{response_id:str}/cancel",
        opt={"scope": Scope.MODELS_USE},
        status_code=HTTP_200_OK,
        summary="Cancel a response",
    )
    async def cancel(
        self,
        response_id: FromPath[str],
        caller: NamedDependency[Caller],
    ) -> Response:
        """End one that works in the background."""
        stored = await responding.found(caller, response_id)
        return (await responding.cancelled(caller, stored)).response

    @get(
        "/{response_id:str}/input_items",
        opt={"scope": Scope.MODELS_USE},
        summary="What a response was made from",
    )
    async def inputs(
        self,
        response_id: FromPath[str],
        caller: NamedDependency[Caller],
        after: Annotated[str, QueryParameter(description="Only items behind this one.")] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
    ) -> ItemList:
        """The items of its own input, the newest first."""
        stored = await responding.found(caller, response_id)
        return page(stored.input, after=after, limit=limit, order=order)


async def _told(caller: Caller, stored: Stored, *, after: int, headers: dict[str, str]) -> Stream:
    telling = await caller.tellings.of(stored)
    return Stream(
        telling.behind(after), media_type="text/event-stream", headers={**STREAM_HEADERS, **headers}
    )


async def _frames(caller: Caller, exchange: responding.Exchange) -> AsyncIterator[bytes]:
    async with aclosing(responding.spoken(caller, exchange)) as events:
        async for event in events:
            if isinstance(event, Waiting):
                yield PING
            else:
                yield frame(event)
    yield DONE
