"""OpenAI's `/embeddings`, and that of every server that speaks it (read November 2026). Pure.

`encoding_format: base64` is asked for, because it is a third of the bytes and needs no parsing of numbers; servers that
do not know it send numbers, which are taken too.
"""

from types import MappingProxyType

import msgspec

from agent_gateway.dialects.embedding_wire import (
    EmbeddingDialect,
    EmbeddingReply,
    EmbeddingRequest,
    bearer,
    from_base64,
    from_numbers,
)


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Usage(msgspec.Struct):
    total_tokens: int = 0
    prompt_tokens: int = 0


class _Reply(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage | None = None


def encode(request: EmbeddingRequest) -> dict[str, object]:
    """The body of a batch."""
    body: dict[str, object] = {
        "model": request.model,
        "input": list(request.texts),
        "encoding_format": "base64",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def decode(body: bytes, count: int) -> EmbeddingReply:
    """The vectors in the order of the texts, whatever the order of the reply."""
    reply = msgspec.json.decode(body, type=_Reply)
    placed: list[bytes | None] = [None] * count
    for place, one in enumerate(reply.data):
        index = place if one.index is None else one.index
        if not 0 <= index < count or placed[index] is not None:
            message = f"index {index} is of no text, or of one that had its vector"
            raise ValueError(message)
        placed[index] = (
            from_base64(one.embedding) if isinstance(one.embedding, str) else from_numbers(one.embedding)
        )
    vectors = [vector for vector in placed if vector is not None]
    usage = reply.usage or _Usage()
    return EmbeddingReply(vectors=vectors, tokens=usage.total_tokens or usage.prompt_tokens)


OPENAI = EmbeddingDialect(
    name="openai",
    url="https://api.openai.com/v1",
    path=lambda _: "/embeddings",
    headers=bearer,
    encode=encode,
    decode=decode,
    max_texts=2_048,
    max_tokens=300_000,
    dimensions=MappingProxyType(
        {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072, "text-embedding-ada-002": 1_536}
    ),
)
