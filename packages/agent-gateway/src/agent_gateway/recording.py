"""A transport that writes down what was said, and one that says it again: for tests that need no provider.

A recording is a file of JSON lines, one exchange a line, to be committed beside the tests. Keys are removed before
anything is written (`redaction`); what a prompt or a reply says is not looked at, so do not record what is private.
"""

import base64
import contextlib
import os
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

import msgspec

from agent_core.errors import ModelError
from agent_gateway.errors import ProviderUnavailableError, RecordingError
from agent_gateway.redaction import clean_body, clean_headers, clean_url, secrets_in
from agent_gateway.transport import HttpCall, HttpReply, HttpxTransport, Transport

_UNLIMITED = 1 << 62


class Exchange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and what came back, without secrets."""

    method: str
    url: str
    request: str = ""
    """The body, as text."""
    status: int = 0
    headers: dict[str, str] = {}
    body: str = ""
    """All pieces joined, as text, or as base64 where they are no UTF-8."""
    is_base64: bool = False
    ends: tuple[int, ...] = ()
    """Where each piece ends, in bytes from the start."""
    failure: str = ""
    """What broke the exchange off, if something did: before the reply where `status` is 0, else behind `body`."""

    @property
    def pieces(self) -> list[bytes]:
        """The body as it came."""
        body = base64.b64decode(self.body) if self.is_base64 else self.body.encode()
        return [body[start:end] for start, end in pairwise((0, *self.ends))]


class RecordingTransport(Transport):
    """Passes requests on to another transport and appends each exchange to a file once it has ended."""

    def __init__(
        self, path: Path | str, transport: Transport | None = None, *, secrets: Iterable[str] = ()
    ) -> None:
        """`transport` carries the requests (None: httpx); `secrets` are texts to remove besides the keys."""
        self._path = Path(path)
        self._transport = transport or HttpxTransport()
        self._secrets = frozenset(secrets)

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Send `call`; see `Transport`."""
        seen = _Seen()
        try:
            async with self._transport.send(call) as reply:
                seen.status, seen.headers = reply.status, reply.headers
                yield _Overheard(reply, seen)
        except ModelError as error:
            seen.failure = getattr(error, "reason", "") or type(error).__name__
            raise
        finally:
            if seen.status or seen.failure:
                self._write(call, seen)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()

    def _write(self, call: HttpCall, seen: "_Seen") -> None:
        secrets = secrets_in(call.url, call.headers) | self._secrets
        body = clean_body(b"".join(seen.pieces), secrets)
        text, is_base64 = _as_text(body)
        exchange = Exchange(
            method=call.method,
            url=clean_url(call.url),
            request=_as_text(clean_body(call.body, secrets))[0],
            status=seen.status,
            headers=clean_headers(seen.headers),
            body=text,
            is_base64=is_base64,
            ends=tuple(accumulate(len(piece) for piece in seen.pieces)),
            failure=clean_body(seen.failure.encode(), secrets).decode(),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(exchange) + b"\n")


class ReplayTransport(Transport):
    """Answers from a recording, without a network. Equal requests get their replies in the order of the recording."""

    def __init__(self, path: Path | str, *, secrets: Iterable[str] = ()) -> None:
        """`secrets` as when it was recorded.

        Raises:
            RecordingError: the file cannot be read, or is no recording.
        """
        self._path = Path(path)
        self._secrets = frozenset(secrets)
        self._waiting: defaultdict[tuple[str, str, bytes], deque[Exchange]] = defaultdict(deque)
        try:
            for line in self._path.read_bytes().splitlines():
                exchange = msgspec.json.decode(line, type=Exchange)
                key = _key(exchange.method, exchange.url, exchange.request.encode())
                self._waiting[key].append(exchange)
        except (OSError, msgspec.MsgspecError) as error:
            raise RecordingError(self._path, str(error)) from error

    @property
    def left(self) -> int:
        """How many exchanges of the recording have not been asked for."""
        return sum(len(line) for line in self._waiting.values())

    @asynccontextmanager
    async def send(self, call: HttpCall) -> AsyncGenerator[HttpReply, None]:
        """Answer `call`; see `Transport`.

        Raises:
            RecordingError: it holds no (further) reply to this request.
        """
        secrets = secrets_in(call.url, call.headers) | self._secrets
        url = clean_url(call.url)
        line = self._waiting.get(_key(call.method, url, clean_body(call.body, secrets)))
        if not line:
            again = "no reply to" if line is None else "no further reply to"
            raise RecordingError(self._path, f"it holds {again} this {call.method} {url}")
        exchange = line.popleft()
        if exchange.status == 0:
            raise ProviderUnavailableError(call.where, exchange.failure)
        yield _Replayed(exchange, call.where)

    async def aclose(self) -> None:
        """Holds nothing."""


def recorded(
    path: Path | str,
    transport: Transport | None = None,
    *,
    mode: Literal["once", "record", "replay"] = "once",
    secrets: Sequence[str] = (),
) -> Transport:
    """A transport for a test: it records where the file `path` is missing, and replays it from then on.

    `mode="record"` begins the file anew, `"replay"` never asks a provider. `transport` and `secrets`: see
    `RecordingTransport`.

    Raises:
        RecordingError: what is to be replayed cannot be read.
    """
    path = Path(path)
    if mode == "replay" or (mode == "once" and path.exists()):
        return ReplayTransport(path, secrets=secrets)
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)  # noqa: PTH107 (one call that is allowed to find nothing)
    return RecordingTransport(path, transport, secrets=secrets)


class _Seen:
    """What has come of an exchange so far."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.pieces: list[bytes] = []
        self.failure = ""


class _Overheard(HttpReply):
    """A reply of which every piece that is read is written down. Unpacked: `content-encoding` has been seen to."""

    def __init__(self, reply: HttpReply, seen: _Seen) -> None:
        super().__init__(reply.where, _UNLIMITED)
        self.status = reply.status
        self.headers = {name: value for name, value in reply.headers.items() if name != "content-encoding"}
        self._reply = reply
        self._seen = seen

    async def packed(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives."""
        async with aclosing(self._reply.chunks()) as chunks:
            async for chunk in chunks:
                self._seen.pieces.append(chunk)
                yield chunk


class _Replayed(HttpReply):
    def __init__(self, exchange: Exchange, where: str) -> None:
        super().__init__(where, _UNLIMITED)
        self.status = exchange.status
        self.headers = exchange.headers
        self._exchange = exchange

    async def packed(self) -> AsyncGenerator[bytes, None]:
        """The body in the pieces in which it came."""
        for piece in self._exchange.pieces:
            yield piece
        if self._exchange.failure:
            raise ProviderUnavailableError(self.where, self._exchange.failure)


def _as_text(body: bytes) -> tuple[str, bool]:
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def _key(method: str, url: str, body: bytes) -> tuple[str, str, bytes]:
    """What makes requests equal: the order of the fields of a JSON body does not."""
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return method, url, body
