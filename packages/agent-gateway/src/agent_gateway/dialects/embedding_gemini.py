"""Gemini's `batchEmbedContents` (read November 2026). Pure.

Models before the second generation take the purpose as `taskType`; `gemini-embedding-2` knows no such field and wants it
in front of the text.
"""

from types import MappingProxyType

import msgspec

from agent_gateway.dialects.embedding_wire import (
    EmbeddingDialect,
    EmbeddingReply,
    EmbeddingRequest,
    from_numbers,
)

_TASKS = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}
_PREFIXES = {"query": "task: search result | query: ", "document": "title: none | text: "}
_IN_THE_TEXT = "gemini-embedding-2"


class _Vector(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int = 0


class _Reply(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: _Usage | None = None


def encode(request: EmbeddingRequest) -> dict[str, object]:
    """The body of a batch."""
    return {"requests": [_one(request, text) for text in request.texts]}


def _one(request: EmbeddingRequest, text: str) -> dict[str, object]:
    in_text = request.model.startswith(_IN_THE_TEXT)
    words = _PREFIXES[request.purpose] + text if in_text else text
    one: dict[str, object] = {"model": f"models/{request.model}", "content": {"parts": [{"text": words}]}}
    if not in_text:
        one["taskType"] = _TASKS[request.purpose]
    if request.dimensions is not None:
        one["outputDimensionality"] = request.dimensions
    return one


def decode(body: bytes, count: int) -> EmbeddingReply:
    """The vectors, which come in the order of the requests."""
    reply = msgspec.json.decode(body, type=_Reply)
    usage = reply.usage_metadata or _Usage()
    vectors = [from_numbers(one.values) for one in reply.embeddings[: count + 1]]
    return EmbeddingReply(vectors=vectors, tokens=usage.prompt_token_count)


GEMINI = EmbeddingDialect(
    name="gemini",
    url="https://generativelanguage.googleapis.com/v1beta",
    path=lambda model: f"/models/{model}:batchEmbedContents",
    headers=lambda key: {"x-goog-api-key": key},
    encode=encode,
    decode=decode,
    max_texts=100,
    max_tokens=200_000,
    dimensions=MappingProxyType(
        {"gemini-embedding-001": 3_072, "gemini-embedding-2": 3_072, "text-embedding-004": 768}
    ),
)
