"""`/v1/responses` as a WebSocket: one response after another over one connection, each begun by a message `response.create`.

A response that is not to be stored can be gone on from on this connection, as long as it is the last one and nothing failed.
"""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import msgspec
from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect

from agent_api.access.scopes import Scope
from agent_api.errors import InvalidRequestError, KeyRefusedError
from agent_api.openai import responding
from agent_api.openai.caller import Caller
from agent_api.openai.failures import failure
from agent_api.openai.resource import Response
from agent_api.openai.response_events import Event
from agent_api.openai.response_store import Stored
from agent_api.openai.responses_request import ResponseRequest
from agent_api.openai.talk import Waiting
from agent_api.routes.events import CLOSED_BY_ORIGIN, same_origin
from agent_core.errors import AgentError

PATH = "/v1/responses"
MAX_MESSAGE_CHARS = 2 * 1024 * 1024
_NOT_HERE = {
    "stream": "it has no meaning over a WebSocket: leave it out",
    "stream_options": "it has no meaning over a WebSocket: leave it out",
    "background": "it has no meaning over a WebSocket: leave it out",
    "stream_id": "one response follows another over a connection: open one for each conversation",
}


class CreateMessage(ResponseRequest, frozen=True, kw_only=True):
    """The message that begins a response."""

    generate: bool | None = None
    """False: nobody answers. What is said can be gone on from: a client sends what is long before there is a question."""


@websocket(PATH, opt={"scope": Scope.MODELS_USE})
async def responses_socket(socket: WebSocket[Any, Any, State], caller: NamedDependency[Caller]) -> None:
    """The events of each response, one a message; a failure is a message `error`, and the connection goes on."""
    if not same_origin(socket):
        await socket.close(code=CLOSED_BY_ORIGIN, reason="another origin")
        return
    await socket.accept()
    nearby: dict[str, Stored] = {}
    try:
        while True:
            text = await socket.receive_text()
            async for event in _answers(caller, text, nearby):
                await socket.send_text(msgspec.json.encode(event).decode())
    except WebSocketDisconnect:
        return


async def _answers(caller: Caller, text: str, nearby: dict[str, Stored]) -> AsyncIterator[Event]:
    try:
        _check_key(caller)
        request = _read(text)
        begin = responding.warmed if request.generate is False else responding.begin
        exchange = await begin(caller, request, nearby)
        nearby.clear()
        async with aclosing(responding.spoken(caller, exchange)) as events:
            async for event in events:
                if isinstance(event, Waiting):
                    continue
                if not exchange.is_kept and event["type"] in {"response.completed", "response.incomplete"}:
                    nearby[exchange.stored.response.id] = _whole(exchange, event)
                yield event
    except AgentError as error:
        nearby.clear()
        shown = failure(error, PATH)
        yield {"type": "error", "status": int(shown.status), **shown.body}


def _whole(exchange: responding.Exchange, event: Event) -> Stored:
    """A response that is kept here alone, with all that was said before: nothing else knows it."""
    response = msgspec.convert(event["response"], Response)
    return Stored(
        response=msgspec.structs.replace(response, previous_response_id=None, conversation=None),
        input=[*exchange.before, *exchange.stored.input],
    )


def _check_key(caller: Caller) -> None:
    """A message is a request: it counts, and a key that was revoked meanwhile opens nothing.

    Raises:
        KeyRefusedError, RateLimitedError: it may not ask.
    """
    now, key = time.time(), caller.principal.key
    if not caller.daemon.keys.get(key.key_id, tenant=key.tenant).is_valid(now):
        raise KeyRefusedError
    caller.daemon.book.count_request(key, now)


def _read(text: str) -> CreateMessage:
    if len(text) > MAX_MESSAGE_CHARS:
        raise InvalidRequestError(f"a message has at most {MAX_MESSAGE_CHARS:,} characters", param="input")
    try:
        fields: object = msgspec.json.decode(text)
        if not isinstance(fields, dict) or cast("Event", fields).get("type") != "response.create":
            raise InvalidRequestError(
                "a message is a JSON object of the type `response.create`", param="type"
            )
        for name, reason in _NOT_HERE.items():
            if name in fields:
                raise InvalidRequestError(f"`{name}`: {reason}", param=name)
        request = msgspec.convert(fields, CreateMessage)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        raise InvalidRequestError(reason, param=path.rstrip("`")) from error
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"this is no JSON: {error}", param="type") from error
    return request
