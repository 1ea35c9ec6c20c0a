"""`RemoteEmbedder`: the `Embedder` port over providers that embed by HTTP.

Cuts what it is given into batches that the provider takes, asks for several at once, tries again what may pass, and
puts the vectors back in order. The wire formats are `dialects.embedding_*`.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self

import anyio
import msgspec

from agent_core.embeddings import FLOAT_BYTES, Embeddings, Purpose
from agent_core.errors import ConfigurationError, ContextTooLongError, ModelError
from agent_core.messages import Usage
from agent_core.ports import Clock
from agent_core.system import SystemClock
from agent_gateway.dialects.embedding_cohere import COHERE
from agent_gateway.dialects.embedding_gemini import GEMINI
from agent_gateway.dialects.embedding_openai import OPENAI
from agent_gateway.dialects.embedding_voyage import VOYAGE
from agent_gateway.dialects.embedding_wire import EmbeddingDialect, EmbeddingReply, EmbeddingRequest, unit
from agent_gateway.errors import BrokenReplyError, ProviderRefusedError, UnknownModelError
from agent_gateway.failures import Target, failure
from agent_gateway.pricing import PriceTable
from agent_gateway.retry import RetryPolicy, backoff_s
from agent_gateway.routing import Verdict, advice_s, verdict
from agent_gateway.transport import HttpCall, Transport, default_transport

EMBEDDING_DIALECTS: Mapping[str, EmbeddingDialect] = MappingProxyType(
    {one.name: one for one in (OPENAI, GEMINI, COHERE, VOYAGE)}
)
_OK = 200
_BYTES_PER_TOKEN = 3
"""English has four or five, scripts of three bytes a letter about three."""


class RemoteEmbedder:
    """A model that embeds behind a provider's API. Holds a pool of connections: close it, or use `async with`."""

    def __init__(
        self,
        model: str,
        *,
        dialect: EmbeddingDialect = OPENAI,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_setting: str = "api_key",
        dimensions: int | None = None,
        transport: Transport | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int = 4,
        max_texts: int | None = None,
        prices: PriceTable | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,  # noqa: S311 (nobody is to be kept from guessing it)
    ) -> None:
        """`dimensions`: fewer than the model has, where it can; must be given for a model that is not known.

        `concurrency` is how many batches are under way at once, `max_texts` how many texts a batch has at most where
        the provider's own limit is not right for a server of yours.

        Raises:
            ConfigurationError: nobody knows how long the vectors are.
        """
        known = dialect.dimensions.get(model)
        length = dimensions or known
        if length is None:
            raise ConfigurationError(
                f"how long the vectors of {dialect.name}:{model} are is not known; give `dimensions`"
            )
        self._model = model
        self._dialect = dialect
        self._dimensions = length
        # A server that cannot shorten its vectors may refuse the field: it is sent only where it changes something.
        self._asked_dimensions = None if known == length or known is None else length
        self._base_url = (base_url or dialect.url).rstrip("/")
        self._transport = transport or default_transport()
        self._retry = retry or RetryPolicy()
        self._limiter = anyio.CapacityLimiter(concurrency)
        self._max_texts = min(max_texts or dialect.max_texts, dialect.max_texts)
        self._prices = prices
        self._clock = clock or SystemClock()
        self._chance = chance
        self._target = Target(
            where=f"{dialect.name}:{model}", model=model, key_setting=api_key_setting, context_tokens=0
        )
        self._headers = {"Content-Type": "application/json", **(dialect.headers(api_key) if api_key else {})}
        self.spent = Usage(cost_usd=0.0)
        """The tokens so far, where the provider tells, and what they cost, where that is known."""

    def __repr__(self) -> str:
        return f"RemoteEmbedder({self.name!r})"

    @property
    def name(self) -> str:
        """As `provider:name`, with the number of dimensions where it is not the model's own."""
        name = f"{self._dialect.name}:{self._model}"
        return name if self._asked_dimensions is None else f"{name}@{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """One unit vector a text, in order; an empty text has one of zeros.

        Raises:
            ModelUnavailableError: unreachable or overloaded, after the tries that the policy allows.
            ModelRefusedError: the request itself is wrong, or one text alone is longer than the model reads.
        """
        vectors = [bytes(FLOAT_BYTES * self._dimensions)] * len(texts)
        failures: list[ModelError] = []

        async def fill(places: Sequence[int]) -> None:
            try:
                found = await self._batch([texts[place] for place in places], purpose)
            except ModelError as error:
                failures.append(error)
                tasks.cancel_scope.cancel()
            else:
                for place, vector in zip(places, found, strict=True):
                    vectors[place] = vector

        async with anyio.create_task_group() as tasks:
            for places in self._batches(texts):
                tasks.start_soon(fill, places)
        if failures:
            raise failures[0]
        return Embeddings(vectors=b"".join(vectors), dimensions=self._dimensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _batches(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The places of the texts that are not empty, in batches by number and by tokens, as estimated."""
        batch: list[int] = []
        tokens = 0
        for place, text in enumerate(texts):
            if not text:
                continue
            cost = len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN + 1
            if batch and (len(batch) >= self._max_texts or tokens + cost > self._dialect.max_tokens):
                yield batch
                batch, tokens = [], 0
            batch.append(place)
            tokens += cost
        if batch:
            yield batch

    async def _batch(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        """The vectors of one batch; halves of it where the estimate was too low."""
        try:
            return await self._persistently(texts, purpose)
        except ContextTooLongError as error:
            if len(texts) == 1:
                raise ProviderRefusedError(self._target.where, f"a text is too long ({error})") from error
        half = len(texts) // 2
        return [*await self._batch(texts[:half], purpose), *await self._batch(texts[half:], purpose)]

    async def _persistently(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        failures = 0
        while True:
            try:
                async with self._limiter:
                    return await self._ask(texts, purpose)
            except ModelError as error:
                failures += 1
                wait_s = max(advice_s(error) or 0.0, backoff_s(self._retry, failures, self._chance()))
                if (
                    verdict(error) is not Verdict.LATER
                    or failures >= self._retry.attempts
                    or wait_s > self._retry.longest_wait_s
                ):
                    raise
            await self._clock.sleep(wait_s)

    async def _ask(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        request = EmbeddingRequest(
            model=self._model, texts=texts, purpose=purpose, dimensions=self._asked_dimensions
        )
        call = HttpCall(
            url=self._base_url + self._dialect.path(self._model),
            where=self._target.where,
            headers=self._headers,
            body=msgspec.json.encode(self._dialect.encode(request)),
        )
        async with self._transport.send(call) as reply:
            body = await reply.read()
        if reply.status != _OK:
            raise failure(
                self._target, body, status=reply.status, headers=reply.headers, now=self._clock.now()
            )
        found = self._decoded(body, len(texts))
        self._count(found.tokens)
        return found.vectors

    def _decoded(self, body: bytes, count: int) -> EmbeddingReply:
        """One unit vector of the right length for each text, or an error."""
        try:
            reply = self._dialect.decode(body, count)
            vectors = [unit(vector) for vector in reply.vectors]
        except (msgspec.MsgspecError, ValueError) as error:
            raise BrokenReplyError(
                self._target.where, f"its reply is none of embeddings ({error})"
            ) from error
        if len(vectors) != count:
            raise BrokenReplyError(self._target.where, f"it gave {len(vectors)} vectors for {count} texts")
        lengths = {len(vector) // FLOAT_BYTES for vector in vectors} - {self._dimensions}
        if lengths:
            reason = f"its vectors have {lengths.pop()} dimensions, not {self._dimensions}; set `dimensions`"
            raise BrokenReplyError(self._target.where, reason)
        return msgspec.structs.replace(reply, vectors=vectors)

    def _count(self, tokens: int) -> None:
        prices = self._prices or PriceTable.builtin()
        usage = Usage(input_tokens=tokens)
        name = f"{self._dialect.name}:{self._model}"
        cost = prices.cost_usd(name, usage, self._clock.now()) if tokens else None
        # Tokens that were not told were spent all the same: then the cost is not known, which is not nothing.
        known = None if cost is None or self.spent.cost_usd is None else self.spent.cost_usd + cost
        total = self.spent.input_tokens + tokens
        self.spent = Usage(input_tokens=total, cost_usd=known)


def connect_embedder(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    api_key_setting: str = "api_key",
    dimensions: int | None = None,
    transport: Transport | None = None,
) -> RemoteEmbedder:
    """The embedder called `name`, such as `openai:text-embedding-3-small`; nothing is asked before its first use.

    `openai:` with a `base_url` is every server that speaks OpenAI's format (vLLM, llama-server, Ollama); such a model's
    `dimensions` must be given. See `RemoteEmbedder` for the rest.

    Raises:
        UnknownModelError: no such provider; lists those that are known.
        ConfigurationError: nobody knows how long the vectors are.
    """
    provider, _, model = name.partition(":")
    dialect = EMBEDDING_DIALECTS.get(provider)
    if dialect is None or not model:
        raise UnknownModelError(name, tuple(f"{one}:NAME" for one in EMBEDDING_DIALECTS))
    return RemoteEmbedder(
        model,
        dialect=dialect,
        base_url=base_url,
        api_key=api_key,
        api_key_setting=api_key_setting,
        dimensions=dimensions,
        transport=transport,
    )
