"""Voyage's `/embeddings`: OpenAI's with a purpose and other names (read November 2026). Pure."""

from types import MappingProxyType

from agent_gateway.dialects.embedding_openai import decode
from agent_gateway.dialects.embedding_wire import EmbeddingDialect, EmbeddingRequest, bearer


def encode(request: EmbeddingRequest) -> dict[str, object]:
    """The body of a batch."""
    body: dict[str, object] = {
        "model": request.model,
        "input": list(request.texts),
        "input_type": request.purpose,
        "encoding_format": "base64",
        "truncation": False,  # a text that is too long is refused, not cut off without a word
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return body


VOYAGE = EmbeddingDialect(
    name="voyage",
    url="https://api.voyageai.com/v1",
    path=lambda _: "/embeddings",
    headers=bearer,
    encode=encode,
    decode=decode,
    max_texts=1_000,
    max_tokens=120_000,  # of the large models; the lite ones take more
    dimensions=MappingProxyType(
        dict.fromkeys(
            (
                "voyage-4-large",
                "voyage-4",
                "voyage-4-lite",
                "voyage-3.5",
                "voyage-3.5-lite",
                "voyage-3-large",
                "voyage-code-3",
                "voyage-law-2",
                "voyage-finance-2",
            ),
            1_024,
        )
    ),
)
