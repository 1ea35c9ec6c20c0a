"""A reply in pieces, as they come: the framework's `Stream` with one task less and fewer steps a piece."""

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
    """Sends the pieces in the task of the request."""

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send until the iterator ends or the client has gone."""
        pieces = cast("AsyncIterator[bytes]", self.iterator)
        with CancelScope() as scope:
            watching = asyncio.create_task(_until_gone(receive))
            watching.add_done_callback(lambda _: scope.cancel())
            is_open = True
            try:
                async for piece in pieces:  # to its end, so that it lets go of what it holds
                    is_open = type(piece) is not Last
                    await send(_body(piece, is_open=is_open))
                if is_open:
                    await send(_body(b"", is_open=False))
            finally:
                watching.cancel()


def _body(piece: bytes, *, is_open: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": piece, "more_body": is_open}


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
