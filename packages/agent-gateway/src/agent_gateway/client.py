"""`OpenAIChatModel`: the `ChatModel` port over anything that speaks OpenAI Chat Completions."""

import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from agent_core.chat import Choice, Completion, Delta, Grammar, ModelProfile, ModelRequest
from agent_gateway.compat import COMPATIBLE, COMPATS, OPENAI, OWNERS, Compat
from agent_gateway.dialects.openai_chat import StreamDecoder, encode_request, wire_names
from agent_gateway.errors import ProviderUnavailableError, UnknownServerError
from agent_gateway.failures import Target, failure
from agent_gateway.profiles import remote_profile, sized_profile
from agent_gateway.sse import SseSplitter
from agent_gateway.transport import HttpCall, HttpReply, HttpxTransport, Transport, drain

OPENAI_URL = "https://api.openai.com/v1"
_OK, _NOT_FOUND = 200, 404


class OpenAIChatModel:
    """A model behind an OpenAI-compatible server. Holds a pool of connections: close it, or use `async with`."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str = OPENAI_URL,
        api_key: str | None = None,
        api_key_setting: str = "api_key",
        server: str | None = None,
        profile: ModelProfile | None = None,
        transport: Transport | None = None,
        streaming: bool = True,
    ) -> None:
        """`name` is the provider's name of the model and `base_url` ends before `/chat/completions`.

        `api_key_setting` is what errors call the place of the key. `server` is a kind in `compat.COMPATS`; None:
        OpenAI for its own address, else the server is asked when a request first depends on it. `streaming=False`
        asks for whole replies.

        Raises:
            UnknownServerError: `server` is no kind that is known.
        """
        if server is not None and server not in COMPATS:
            raise UnknownServerError(server, tuple(COMPATS))
        self._base_url = base_url.rstrip("/")
        self._compat = COMPATS[server] if server else OPENAI if self._base_url == OPENAI_URL else None
        self._profile = profile or remote_profile(f"openai:{name}")
        self._transport = transport or HttpxTransport()
        self._streaming = streaming
        self._target = Target(
            where=f"openai:{name} at {_without_secrets(self._base_url)}",
            model=name,
            key_setting=api_key_setting,
            context_tokens=self._profile.context_tokens,
        )
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def __repr__(self) -> str:
        return f"OpenAIChatModel({self._target.where!r})"

    @property
    def profile(self) -> ModelProfile:
        """What is known of the model without asking it."""
        return self._profile

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        """Ask the model; see the port. Closing the iterator closes the connection, by which servers stop decoding.

        Raises:
            ProviderUnavailableError, ProviderRefusedError, ContextTooLongError: see `failures`.
            ConstraintUnsupportedError: the server has no such constraint.
        """
        compat = await self._compat_for(request)
        body = encode_request(request, model=self._target.model, compat=compat, stream=self._streaming)
        call = HttpCall(
            url=f"{self._base_url}/chat/completions",
            where=self._target.where,
            headers=self._headers,
            body=msgspec.json.encode(body),
        )
        names = wire_names(request.tools)
        async with self._transport.send(call) as reply:
            if reply.status != _OK:
                raise failure(
                    self._target,
                    await reply.read(),
                    status=reply.status,
                    headers=reply.headers,
                    now=time.time(),
                )
            decoder = StreamDecoder(self._target, names=names)
            if "event-stream" in reply.headers.get("content-type", ""):
                async with aclosing(_events(reply, decoder)) as items:
                    async for item in items:
                        yield item
            else:
                for item in decoder.take(await reply.read()):
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

    async def _compat_for(self, request: ModelRequest) -> Compat:
        """How the server wants `request`; the server is asked for its kind only where that makes a difference."""
        if self._compat is not None:
            return self._compat
        if not isinstance(request.constraint, Choice | Grammar) and request.repeat_penalty is None:
            return COMPATIBLE
        self._compat = (await self._ask_models()).compat
        return self._compat

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

    async def _ask_models(self) -> "_ModelList":
        call = HttpCall(
            method="GET", url=f"{self._base_url}/models", where=self._target.where, headers=self._headers
        )
        async with self._transport.send(call) as reply:
            body = await reply.read()
            if reply.status not in {_OK, _NOT_FOUND}:
                raise failure(self._target, body, status=reply.status, headers=reply.headers, now=time.time())
        try:
            return msgspec.json.decode(body, type=_ModelList)
        except msgspec.DecodeError:
            return _ModelList()


class _ModelMeta(msgspec.Struct):
    n_params: int = 0
    n_ctx: int = 0


class _ListedModel(msgspec.Struct):
    id: str = ""
    owned_by: str = ""
    max_model_len: int | None = None
    """vLLM's."""
    meta: _ModelMeta | None = None
    """llama.cpp's."""


class _ModelList(msgspec.Struct):
    data: list[_ListedModel] = []

    @property
    def compat(self) -> Compat:
        """The kind of server, by who owns its models."""
        kinds = (OWNERS[model.owned_by] for model in self.data if model.owned_by in OWNERS)
        return COMPATS[next(kinds, COMPATIBLE.name)]

    def profile(self, name: str, known: ModelProfile) -> ModelProfile:
        """`known`, with what the server tells of the model; a server of one model answers to any name."""
        fitting = [model for model in self.data if model.id == name] or (
            self.data if len(self.data) == 1 else []
        )
        for model in fitting:
            meta = model.meta or _ModelMeta()
            known = sized_profile(
                known, parameters=meta.n_params, context_tokens=model.max_model_len or meta.n_ctx
            )
        return known


async def _events(reply: HttpReply, decoder: StreamDecoder) -> AsyncGenerator[Delta | Completion]:
    """The items of a streamed reply; the completion when `[DONE]` came, or the end of the stream without it."""
    splitter = SseSplitter()
    chunks = reply.chunks()
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            for item in decoder.feed(event.data):
                if isinstance(item, Completion):
                    with contextlib.suppress(ProviderUnavailableError):  # all was said
                        await drain(chunks)
                    yield item
                    return
                yield item
    for event in splitter.close():
        for item in decoder.feed(event.data):
            yield item
            if isinstance(item, Completion):
                return
    yield decoder.finish()


def _without_secrets(url: str) -> str:
    """The URL without its user part and query, which may hold keys."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except ValueError:
        return "a base URL that is none"
