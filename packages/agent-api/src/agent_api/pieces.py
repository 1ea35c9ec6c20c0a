"""A reply in pieces, as they come: the framework's `Stream` with fewer steps a reply, and an end that leaves with its last piece."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from anyio import CancelScope
from litestar import Litestar, Request
from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send


class Last(bytes):
    """A piece behind which nothing comes: it leaves together with the end of the reply."""


class Pieces(Stream):
    """A stream of bytes. Its iterator is cancelled when the client goes."""

    def __init__(
        self, pieces: AsyncIterator[bytes], *, headers: Mapping[str, str] | None = None, media_type: str
    ) -> None:
        super().__init__(pieces, headers=dict(headers or {}), media_type=media_type)
        self._pieces = pieces

    def to_asgi_response(
        self,
        app: Litestar | None,  # noqa: ARG002  # as the framework has it
        request: Request[Any, Any, Any],  # noqa: ARG002
        **settings: Any,
    ) -> ASGIResponse:
        """The reply with what the route adds to it."""
        headers: Mapping[str, str] = settings.get("headers") or {}
        return PiecesResponse(
            iterator=self._pieces,
            headers={**headers, **self.headers},
            cookies=settings.get("cookies") or self.cookies,
            media_type=self.media_type or settings.get("media_type"),
            status_code=self.status_code or settings.get("status_code"),
            is_head_response=settings.get("is_head_response", False),
            background=self.background or settings.get("background"),
        )


class PiecesResponse(ASGIStreamingResponse):
    """Sends the pieces, until the iterator ends or the client has gone."""

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send in a task of its own: a wake-up goes through every call that is waited in, and a request has many."""
        sending = asyncio.create_task(self._send_all(send))
        try:
            with CancelScope() as scope:
                sending.add_done_callback(lambda _: scope.cancel())
                while (await receive())["type"] != "http.disconnect":
                    pass
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.wait({sending})
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        is_open = True
        async for piece in cast("AsyncIterator[bytes]", self.iterator):
            is_open = type(piece) is not Last
            body: HTTPResponseBodyEvent = {"type": "http.response.body", "body": piece, "more_body": is_open}
            await send(body)
        if is_open:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
