"""The embedder against servers on loopback that answer like the providers, and that do not."""

import base64
import hashlib
import json
import math
import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from agent_core.errors import ConfigurationError
from agent_core.messages import Usage
from agent_core.ports import Embedder
from agent_core.testing import VirtualClock
from agent_core.testing.conformance.embedder import EmbedderConformance
from agent_gateway.dialects.embedding_openai import OPENAI
from agent_gateway.embeddings import EMBEDDING_DIALECTS, RemoteEmbedder, connect_embedder
from agent_gateway.errors import (
    BrokenReplyError,
    CredentialsError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnknownModelError,
)
from agent_gateway.retry import RetryPolicy

KEY = "sk-very-secret"


def vector(text: str) -> list[float]:
    """Another for each text, and not of length 1."""
    return [float(len(text)), float(sum(text.encode()) % 97), 3.0]


def unit(text: str) -> list[float]:
    numbers = vector(text)
    return [number / math.hypot(*numbers) for number in numbers]


def texts_of(path: str, body: Any) -> list[str]:
    if path.endswith("batchEmbedContents"):
        return [one["content"]["parts"][0]["text"] for one in body["requests"]]
    return body["texts"] if path.endswith("/v2/embed") else body["input"]


def answered(path: str, texts: list[str]) -> dict[str, Any]:
    found = [vector(text) for text in texts]
    if path.endswith("batchEmbedContents"):
        return {"embeddings": [{"values": numbers} for numbers in found]}
    if path.endswith("/v2/embed"):
        return {"embeddings": {"float": found}, "meta": {"billed_units": {"input_tokens": len(texts)}}}
    packed = [base64.b64encode(struct.pack("<3f", *numbers)).decode() for numbers in found]
    data = [{"index": place, "embedding": one} for place, one in enumerate(packed)]
    return {"data": data[::-1], "usage": {"total_tokens": len(texts)}}


@pytest.fixture
def provider(server: Any, make_script: Any) -> Any:
    """The server answers every request like a provider; `fails` may say otherwise first."""

    class Replies(list[Any]):
        def __init__(self) -> None:
            self.fails: list[Callable[[list[str]], Any]] = []

        def __len__(self) -> int:
            return 1

        def __getitem__(self, _: Any) -> Any:
            asked = server.requests[-1]
            texts = texts_of(asked["path"], asked["body"])
            for fail in list(self.fails):
                script = fail(texts)
                if script is not None:
                    return script
            content = json.dumps(answered(asked["path"], texts)).encode()
            return make_script(content, content_type="application/json")

    server.scripts = Replies()
    return server


def embedder(provider: Any, name: str = "openai:m", **more: Any) -> RemoteEmbedder:
    dialect, _, model = name.partition(":")
    base = provider.base_url.removesuffix("/v1")
    return RemoteEmbedder(
        model,
        dialect=EMBEDDING_DIALECTS[dialect],
        **{"base_url": base, "api_key": KEY, "dimensions": 3, "clock": VirtualClock()} | more,
    )


def rows(found: Any) -> list[list[float]]:
    return [list(found[place]) for place in range(len(found))]


@pytest.mark.parametrize("name", EMBEDDING_DIALECTS)
async def test_each_provider(provider: Any, name: str) -> None:
    texts = ["a", "bb", "", "ccc", "a"]
    async with embedder(provider, f"{name}:m") as model:
        port: Embedder = model
        found = await port.embed(texts, purpose="query")
    assert found.dimensions == 3
    expected = [[0.0] * 3 if not text else unit(text) for text in texts]
    assert rows(found) == [pytest.approx(one, abs=1e-6) for one in expected]
    (request,) = provider.requests
    secret = request["headers"].get("authorization", "") + request["headers"].get("x-goog-api-key", "")
    assert KEY in secret
    assert "" not in texts_of(request["path"], request["body"]), "an empty text is not sent"


async def test_batches_by_number(provider: Any) -> None:
    texts = [f"text {number}" for number in range(250)]
    async with embedder(provider, "cohere:m") as model:
        found = await model.embed(texts)
    assert sorted(len(texts_of(one["path"], one["body"])) for one in provider.requests) == [58, 96, 96]
    assert rows(found) == [pytest.approx(unit(text), abs=1e-6) for text in texts]
    assert model.spent.input_tokens == 250


async def test_batches_by_tokens(provider: Any) -> None:
    texts = ["x" * 150_000] * 5
    async with embedder(provider, "voyage:m") as model:
        await model.embed(texts)
    assert sorted(len(texts_of(one["path"], one["body"])) for one in provider.requests) == [1, 2, 2]
    async with embedder(provider, max_texts=2) as model:
        provider.requests.clear()
        await model.embed(["a"] * 5)
    assert sorted(len(one["body"]["input"]) for one in provider.requests) == [1, 2, 2]


async def test_nothing_to_embed_asks_nobody(provider: Any) -> None:
    async with embedder(provider) as model:
        assert len(await model.embed([])) == 0
        assert rows(await model.embed([""])) == [[0.0, 0.0, 0.0]]
    assert provider.requests == []


async def test_what_may_pass_is_tried_again(provider: Any, make_script: Any) -> None:
    clock, tries = VirtualClock(), iter([429, 503, 200])

    def fail(_: list[str]) -> Any:
        status = next(tries)
        body = b'{"error": {"message": "Please try again in 7s."}}'
        return None if status == 200 else make_script(body, status=status, content_type="application/json")

    provider.scripts.fails = [fail]
    started = clock.now()
    async with embedder(provider, clock=clock) as model:
        assert len(await model.embed(["a"])) == 1
    assert clock.now() - started >= 14.0
    assert len(provider.requests) == 3


async def test_it_gives_up(provider: Any, make_script: Any) -> None:
    provider.scripts.fails = [lambda _: make_script(b"{}", status=500, content_type="application/json")]
    async with embedder(provider, retry=RetryPolicy(attempts=2)) as model:
        with pytest.raises(ProviderUnavailableError):
            await model.embed(["a"])
    assert len(provider.requests) == 2


async def test_a_wrong_key_is_not_tried_again_nor_told(provider: Any, make_script: Any) -> None:
    provider.scripts.fails = [
        lambda _: make_script(b'{"error": "no"}', status=401, content_type="application/json")
    ]
    async with embedder(provider, api_key_setting="AGENT_KEY") as model:
        with pytest.raises(CredentialsError, match="AGENT_KEY") as raised:
            await model.embed(["a"] * 10)
    assert len(provider.requests) == 1
    assert KEY not in f"{raised.value} {model!r}"


async def test_a_batch_that_is_too_long_is_halved(provider: Any, make_script: Any) -> None:
    def fail(texts: list[str]) -> Any:
        error = {"message": "This model's maximum context length is 8 tokens, you gave 99 tokens."}
        body = json.dumps({"error": error}).encode()
        return make_script(body, status=400, content_type="application/json") if len(texts) > 2 else None

    provider.scripts.fails = [fail]
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    async with embedder(provider) as model:
        assert rows(await model.embed(texts)) == [pytest.approx(unit(text), abs=1e-6) for text in texts]
        provider.scripts.fails = [lambda texts: fail(texts * 3)]
        with pytest.raises(ProviderRefusedError, match="too long"):
            await model.embed(texts)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "none of embeddings"),
        (b'{"data": []}', "0 vectors for 1 texts"),
        (b'{"data": [{"embedding": [1, 2]}]}', "2 dimensions, not 3; set `dimensions`"),
        (b'{"data": [{"embedding": [1, 2, 1e999]}]}', "none of embeddings"),
    ],
)
async def test_a_reply_that_is_none(provider: Any, make_script: Any, body: bytes, words: str) -> None:
    provider.scripts.fails = [lambda _: make_script(body, content_type="application/json")]
    async with embedder(provider, retry=RetryPolicy(attempts=1)) as model:
        with pytest.raises(BrokenReplyError, match=words):
            await model.embed(["a"])


async def test_one_batch_that_fails_stops_the_others(provider: Any, make_script: Any) -> None:
    provider.scripts.fails = [
        lambda texts: (
            make_script(b"{}", status=400, content_type="application/json") if "bad" in texts else None
        )
    ]
    async with embedder(provider, max_texts=1, concurrency=2) as model:
        with pytest.raises(Exception, match="refused"):
            await model.embed(["a", "bad", *["c"] * 50])
    assert len(provider.requests) < 20


async def test_what_it_cost(provider: Any) -> None:
    async with embedder(provider, "openai:text-embedding-3-small", clock=None) as model:
        await model.embed(["a"] * 10)
        assert model.spent == Usage(input_tokens=10, cost_usd=pytest.approx(10 * 0.02 / 1e6))
    async with embedder(provider) as model:
        await model.embed(["a"])
        assert model.spent == Usage(input_tokens=1, cost_usd=None)


def test_names_and_dimensions() -> None:
    small = connect_embedder("openai:text-embedding-3-small")
    assert (small.name, small.dimensions) == ("openai:text-embedding-3-small", 1_536)
    short = connect_embedder("openai:text-embedding-3-small", dimensions=256)
    assert (short.name, short.dimensions) == ("openai:text-embedding-3-small@256", 256)
    own = connect_embedder("openai:bge", base_url="http://127.0.0.1:1/v1", dimensions=384)
    assert (own.name, own.dimensions) == ("openai:bge", 384)
    with pytest.raises(ConfigurationError, match="openai:bge"):
        connect_embedder("openai:bge")
    for name in ("nobody:m", "openai:", "openai", ""):
        with pytest.raises(UnknownModelError, match="voyage:NAME"):
            connect_embedder(name)
    assert OPENAI.max_texts == 2_048


async def test_the_field_for_dimensions_is_sent_only_where_it_matters(provider: Any) -> None:
    for name, dimensions, sent in (("m", 3, False), ("text-embedding-3-small", 3, True)):
        async with embedder(provider, f"openai:{name}", dimensions=dimensions) as model:
            await model.embed(["a"])
        assert ("dimensions" in provider.requests[-1]["body"]) == sent


class TestConformance(EmbedderConformance):
    """OpenAI's format; vectors of more numbers than `vector` gives, so that texts differ enough."""

    too_long = "word " * 5_000

    @pytest.fixture(autouse=True)
    def _provider(self, server: Any, make_script: Any) -> None:
        def numbers(text: str) -> list[float]:
            digest = hashlib.sha256(text.encode()).digest()
            return [byte - 127.5 for byte in digest]

        class Replies(list[Any]):
            def __len__(self) -> int:
                return 1

            def __getitem__(self, _: Any) -> Any:
                texts = server.requests[-1]["body"]["input"]
                if max(map(len, texts)) > 20_000:
                    error = {
                        "message": "This model's maximum context length is 8192 tokens, you gave 9999 tokens."
                    }
                    return make_script(
                        json.dumps({"error": error}).encode(), status=400, content_type="application/json"
                    )
                data = [{"index": place, "embedding": numbers(text)} for place, text in enumerate(texts)]
                return make_script(json.dumps({"data": data}).encode(), content_type="application/json")

        server.scripts = Replies()
        self.base_url = server.base_url

    def embedder(self) -> AbstractAsyncContextManager[Embedder]:
        return RemoteEmbedder("m", base_url=self.base_url, dimensions=32, max_texts=64)
