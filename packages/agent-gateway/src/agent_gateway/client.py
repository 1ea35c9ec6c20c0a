"""`HttpChatModel`: the `ChatModel` port over HTTP, in whichever wire format the provider speaks."""

import contextlib
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import msgspec

from agent_core.chat import Choice, Completion, Delta, Grammar, ModelProfile, ModelRequest
from agent_core.errors import ModelError
from agent_gateway.compat import COMPATIBLE, COMPATS, Compat, Traits
from agent_gateway.dialects.dialect import Dialect, ReplyDecoder, Wiring
from agent_gateway.dialects.openai_chat import OpenAIChat
from agent_gateway.dialects.tool_names import wire_names
from agent_gateway.errors import (
    BrokenReplyError,
    DeadlineExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    ReplyTooLargeError,
    UnknownServerError,
)
from agent_gateway.failures import Secret, Target, failure
from agent_gateway.listing import ModelList
from agent_gateway.seeing import as_seen
from agent_gateway.sse import SseSplitter
from agent_gateway.transport import HttpCall, HttpReply, Timeouts, Transport, default_transport, drain

_OK, _NOT_FOUND = 200, 404
_FIXED_HEADERS = {"Content-Type": "application/json", "User-Agent": "agent-gateway"}
_LONGEST_EVENT_BYTES = 8 * 1024 * 1024
_LONGEST_ERROR_BYTES = 64 * 1024


class HttpChatModel:
    """A model behind a server. Holds a pool of connections: close it, or use `async with`."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        dialect: Dialect | None = None,
        api_key: str | None = None,
        api_key_setting: str = "api_key",
        provider: str = "openai",
        server: str | None = None,
        profile: ModelProfile | None = None,
        traits: Traits | None = None,
        transport: Transport | None = None,
        timeouts: Timeouts | None = None,
        streaming: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`name` is the provider's name of the model; `base_url` ends before the path of the format.

        `dialect` is the format, by default Chat Completions, which servers of all kinds speak. `api_key_setting` is
        what errors call the place of the key. `server` is a kind in `compat.COMPATS`; None: the server is asked when a
        request first depends on it. `streaming=False` asks for whole replies. `headers` go with every request, in the
        place of ours of the same name. A `transport` that is given is closed with the model.

        Raises:
            UnknownServerError: `server` is no kind that is known.
        """
        if server and server not in COMPATS:
            raise UnknownServerError(server, tuple(COMPATS))
        self._dialect = dialect or OpenAIChat()
        self._base_url, user = _split_user(base_url.rstrip("/"))
        self._compat = COMPATS[server] if server else None
        self._profile = profile or ModelProfile(name=f"{provider}:{name}")
        self._traits = traits or Traits()
        self._transport = transport or default_transport(timeouts=timeouts)
        self._streaming = streaming
        self._target = Target(
            where=f"{provider}:{name} at {self._base_url.partition('?')[0]}",
            model=name,
            key_setting=api_key_setting,
            context_tokens=self._profile.context_tokens,
            secret=Secret(api_key or ""),
        )
        ours = {**_FIXED_HEADERS, **user, **self._dialect.headers(api_key or "")}
        ours["Accept-Encoding"] = "identity" if streaming else "gzip, deflate"
        self._headers = _joined(ours, headers or {})

    def __repr__(self) -> str:
        return f"HttpChatModel({self._target.where!r})"

    @property
    def profile(self) -> ModelProfile:
        """What is known of the model without asking it."""
        return self._profile

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator closes the connection, by which servers stop decoding.

        Raises:
            ProviderUnavailableError, ProviderRefusedError, ContextTooLongError: see `failures`.
            ConstraintUnsupportedError: the server has no such constraint.
            DeadlineExceededError: the deadline in the request's context has passed.
        """
        call = self._call(as_seen(request, self._profile), await self._compat_for(request))
        async with self._transport.send(call) as reply:
            if reply.status != _OK:
                raise await self._failure(reply)
            decoder = self._dialect.decoder(self._target, names=wire_names(request.tools))
            kind = reply.headers.get("content-type", "")
            if "event-stream" in kind or (self._streaming and "json" not in kind and "html" not in kind):
                async with aclosing(self._events(reply, decoder)) as batches:
                    async for items in batches:
                        for item in items:
                            yield item
            else:
                for item in _whole(await reply.read(), decoder, kind, self._target.where):
                    yield item
                yield decoder.finish()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def discover(self) -> ModelProfile:
        """Ask the server what kind it is and how large the model is; the profile from now on.

        llama.cpp tells the number of weights and the context, vLLM the context. Who tells nothing changes nothing.

        Raises:
            ProviderUnavailableError, ProviderRefusedError: the server cannot be asked.
        """
        models = await self._ask_models()
        self._compat = self._compat or models.compat
        self._profile = models.profile(self._target.model, self._profile)
        self._target = msgspec.structs.replace(self._target, context_tokens=self._profile.context_tokens)
        return self._profile

    def _call(self, request: ModelRequest, compat: Compat) -> HttpCall:
        wiring = Wiring(
            model=self._target.model,
            compat=compat,
            traits=self._traits,
            reply_tokens=self._profile.reply_tokens,
            stream=self._streaming,
        )
        try:
            wire = self._dialect.encode(request, wiring)
        except UnicodeEncodeError as error:  # half a surrogate pair, such as a file name that is no text
            raise ProviderRefusedError(self._target.where, str(error)) from error
        return HttpCall(
            url=self._base_url + wire.path,
            where=self._target.where,
            headers={**self._headers, **wire.headers} if wire.headers else self._headers,
            body=wire.body,
            total_s=self._left_s(request),
        )

    def _left_s(self, request: ModelRequest) -> float | None:
        deadline = request.context.deadline
        if deadline is None:
            return None
        left_s = deadline - time.time()
        if left_s <= 0:
            raise DeadlineExceededError(self._target.where, -left_s)
        return left_s

    async def _compat_for(self, request: ModelRequest) -> Compat:
        """How the server wants `request`; the server is asked for its kind only where that makes a difference."""
        if self._compat is not None:
            return self._compat
        if self._dialect.name != OpenAIChat.name:
            return COMPATIBLE
        if not isinstance(request.constraint, Choice | Grammar) and request.repeat_penalty is None:
            return COMPATIBLE
        self._compat = (await self._ask_models()).compat
        return self._compat

    async def _ask_models(self) -> ModelList:
        call = HttpCall(
            method="GET", url=f"{self._base_url}/models", where=self._target.where, headers=self._headers
        )
        async with self._transport.send(call) as reply:
            if reply.status not in {_OK, _NOT_FOUND}:
                raise await self._failure(reply)
            return ModelList.read(await reply.read())

    async def _failure(self, reply: HttpReply) -> ModelError:
        """The error that a reply of another status than 200 tells of."""
        body = b""
        with contextlib.suppress(ProviderUnavailableError):  # what came says enough
            async for chunk in reply.chunks():
                body += chunk
                if len(body) > _LONGEST_ERROR_BYTES:
                    break
        return failure(self._target, body, status=reply.status, headers=reply.headers, now=time.time())

    async def _events(
        self, reply: HttpReply, decoder: ReplyDecoder
    ) -> AsyncGenerator[list[Delta | Completion]]:
        """The items of a streamed reply, a list for each piece that arrives; the completion comes when the format
        says so, or at the end of the stream.
        """
        splitter, items = SseSplitter(), list[Delta | Completion]()
        chunks = reply.chunks()
        async for chunk in chunks:
            try:
                for event in splitter.feed(chunk):
                    items += decoder.feed(event.data)
            except ModelError:
                yield items  # what was said before it in the same piece
                raise
            if items:
                if isinstance(items[-1], Completion):
                    with contextlib.suppress(ProviderUnavailableError):  # all was said
                        await drain(chunks)
                    yield items
                    return
                yield items
                items = []
            if splitter.held_bytes > _LONGEST_EVENT_BYTES:
                raise ReplyTooLargeError(self._target.where, "one event of its reply", _LONGEST_EVENT_BYTES)
        for event in splitter.close():
            items += decoder.feed(event.data)
        yield items if items and isinstance(items[-1], Completion) else [*items, decoder.finish()]


def _whole(body: bytes, decoder: ReplyDecoder, kind: str, where: str) -> list[Delta | Completion]:
    """The items of a reply that was not streamed, or that came as events under a wrong content type."""
    start = body.lstrip()[:6]
    if start.startswith((b"data:", b"event:", b":")):
        splitter = SseSplitter()
        events = [*splitter.feed(body), *splitter.close()]
        items = [item for event in events for item in decoder.feed(event.data)]
        return [item for item in items if not isinstance(item, Completion)]
    if start[:1] not in {b"{", b"["}:
        reason = f"it answered with {kind.partition(';')[0] or 'no content type'}; check the base URL"
        raise BrokenReplyError(where, reason)
    return decoder.take(body)


def _joined(ours: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Headers of both, `given` in the place of ours of the same name."""
    named = {name.lower() for name in given}
    return {**{name: value for name, value in ours.items() if name.lower() not in named}, **given}


def _split_user(url: str) -> tuple[str, dict[str, str]]:
    """The URL without the user and password in it, and the header that says them (RFC 7617)."""
    scheme, mark, rest = url.partition("://")
    user, at, place = rest.partition("@")
    if not at or "/" in user:
        return url, {}
    return f"{scheme}{mark}{place}", {"Authorization": "Basic " + b64encode(unquote(user).encode()).decode()}
