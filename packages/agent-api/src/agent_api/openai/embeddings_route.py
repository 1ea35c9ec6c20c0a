"""`POST /v1/embeddings`: the embedded table of word vectors, by the `Embedder` port."""

import base64
from typing import Annotated, Literal, TypeAlias

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from agent_api.access.scopes import Scope
from agent_api.errors import InvalidRequestError, ModelNotFoundError
from agent_api.openai import word_vectors
from agent_api.openai.caller import EMBEDDER, Caller
from agent_core.messages import Message, Text, Usage

MAX_TEXTS = 2_048
SomeText: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class EmbeddingsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/embeddings`. Tokens in the place of texts are not taken: they are another model's."""

    model: str
    input: SomeText | Annotated[list[SomeText], msgspec.Meta(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """Of length 1; with `base64` its little-endian floats of 32 bits."""


class EmbeddingsUsage(msgspec.Struct, frozen=True, kw_only=True):
    """About how many tokens were read: the table has words, not tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True, kw_only=True):
    """One vector a text, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


@post(
    "/v1/embeddings",
    opt={"scope": Scope.MODELS_USE},
    status_code=HTTP_200_OK,
    summary="Embed",
    tags=("openai",),
)
async def embeddings(data: JSONBody[EmbeddingsRequest], caller: NamedDependency[Caller]) -> EmbeddingList:
    """One vector a text."""
    if data.model != EMBEDDER:
        raise ModelNotFoundError(data.model, (EMBEDDER,))
    caller.check_spending()
    embedder = await word_vectors.embedder()
    if data.dimensions not in {None, embedder.dimensions}:
        raise InvalidRequestError(
            f"the vectors of {EMBEDDER!r} have {embedder.dimensions} dimensions, always", param="dimensions"
        )
    texts = [data.input] if isinstance(data.input, str) else data.input
    found = await embedder.embed(texts)
    tokens = _tokens(texts)
    caller.spend(Usage(input_tokens=tokens))
    shown = [
        base64.b64encode(found[place]).decode()
        if data.encoding_format == "base64"
        else [*map(float, found[place])]
        for place in range(len(found))
    ]
    return EmbeddingList(
        data=[Embedding(index=place, embedding=one) for place, one in enumerate(shown)],
        model=EMBEDDER,
        usage=EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


def _tokens(texts: list[str]) -> int:
    from agent_memory.tokens import estimate_tokens  # noqa: PLC0415  # with the embedder

    return sum(estimate_tokens(Message(role="user", parts=(Text(text=text),))) for text in texts)
