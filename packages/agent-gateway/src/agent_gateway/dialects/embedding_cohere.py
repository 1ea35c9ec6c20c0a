"""Cohere's `/v2/embed` (read November 2026). Pure."""

from types import MappingProxyType

import msgspec

from agent_gateway.dialects.embedding_wire import (
    EmbeddingDialect,
    EmbeddingReply,
    EmbeddingRequest,
    bearer,
    from_numbers,
)

_PURPOSES = {"query": "search_query", "document": "search_document"}


class _Vectors(msgspec.Struct):
    numbers: list[list[float]] = msgspec.field(name="float")


class _Units(msgspec.Struct):
    input_tokens: int = 0


class _Meta(msgspec.Struct):
    billed_units: _Units | None = None


class _Reply(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


def encode(request: EmbeddingRequest) -> dict[str, object]:
    """The body of a batch."""
    body: dict[str, object] = {
        "model": request.model,
        "texts": list(request.texts),
        "input_type": _PURPOSES[request.purpose],
        "embedding_types": ["float"],
        "truncate": "NONE",  # a text that is too long is refused, not cut off without a word
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return body


def decode(body: bytes, count: int) -> EmbeddingReply:
    """The vectors, which come in the order of the texts."""
    reply = msgspec.json.decode(body, type=_Reply)
    units = (reply.meta and reply.meta.billed_units) or _Units()
    return EmbeddingReply(
        vectors=[from_numbers(numbers) for numbers in reply.embeddings.numbers[: count + 1]],
        tokens=units.input_tokens,
    )


COHERE = EmbeddingDialect(
    name="cohere",
    url="https://api.cohere.com",
    path=lambda _: "/v2/embed",
    headers=bearer,
    encode=encode,
    decode=decode,
    max_texts=96,
    max_tokens=128_000,
    dimensions=MappingProxyType(
        {
            "embed-v4.0": 1_536,
            "embed-english-v3.0": 1_024,
            "embed-multilingual-v3.0": 1_024,
            "embed-english-light-v3.0": 384,
            "embed-multilingual-light-v3.0": 384,
        }
    ),
)
