"""The four wire formats of embeddings: what is asked, and what is read."""

import base64
import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.dialects.embedding_cohere import COHERE
from agent_gateway.dialects.embedding_gemini import GEMINI
from agent_gateway.dialects.embedding_openai import OPENAI
from agent_gateway.dialects.embedding_voyage import VOYAGE
from agent_gateway.dialects.embedding_wire import EmbeddingDialect, EmbeddingRequest, from_base64, unit

ONE, TWO = struct.pack("<2f", 0.5, -1.0), struct.pack("<2f", 0.0, 2.0)


def packed(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def request(**changes: Any) -> EmbeddingRequest:
    return EmbeddingRequest(**{"model": "m", "texts": ("a", "b"), "purpose": "query"} | changes)


ASKED: dict[str, tuple[EmbeddingDialect, EmbeddingRequest, dict[str, Any]]] = {
    "openai": (OPENAI, request(), {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}),
    "openai, shorter": (
        OPENAI,
        request(dimensions=8),
        {"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8},
    ),
    "voyage": (
        VOYAGE,
        request(dimensions=8),
        {
            "model": "m",
            "input": ["a", "b"],
            "input_type": "query",
            "encoding_format": "base64",
            "truncation": False,
            "output_dimension": 8,
        },
    ),
    "cohere": (
        COHERE,
        request(purpose="document", dimensions=8),
        {
            "model": "m",
            "texts": ["a", "b"],
            "input_type": "search_document",
            "embedding_types": ["float"],
            "truncate": "NONE",
            "output_dimension": 8,
        },
    ),
    "gemini": (
        GEMINI,
        request(texts=("a",), dimensions=8),
        {
            "requests": [
                {
                    "model": "models/m",
                    "content": {"parts": [{"text": "a"}]},
                    "taskType": "RETRIEVAL_QUERY",
                    "outputDimensionality": 8,
                }
            ]
        },
    ),
    "gemini, second generation": (
        GEMINI,
        request(model="gemini-embedding-2", texts=("a",), purpose="document"),
        {
            "requests": [
                {
                    "model": "models/gemini-embedding-2",
                    "content": {"parts": [{"text": "title: none | text: a"}]},
                }
            ]
        },
    ),
}


@pytest.mark.parametrize(("dialect", "asked", "body"), ASKED.values(), ids=ASKED.keys())
def test_what_is_asked(dialect: EmbeddingDialect, asked: EmbeddingRequest, body: dict[str, Any]) -> None:
    assert dialect.encode(asked) == body


READ: dict[str, tuple[EmbeddingDialect, dict[str, Any], int]] = {
    "openai in base64": (
        OPENAI,
        {
            "object": "list",
            "data": [{"index": 0, "embedding": packed(ONE)}, {"index": 1, "embedding": packed(TWO)}],
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        },
        7,
    ),
    "openai in numbers": (OPENAI, {"data": [{"embedding": [0.5, -1]}, {"embedding": [0, 2.0]}]}, 0),
    "openai in another order": (
        OPENAI,
        {
            "data": [{"index": 1, "embedding": packed(TWO)}, {"index": 0, "embedding": packed(ONE)}],
            "usage": None,
        },
        0,
    ),
    "voyage": (
        VOYAGE,
        {
            "data": [{"index": 0, "embedding": packed(ONE)}, {"index": 1, "embedding": packed(TWO)}],
            "usage": {"total_tokens": 3},
        },
        3,
    ),
    "cohere": (
        COHERE,
        {
            "id": "x",
            "embeddings": {"float": [[0.5, -1.0], [0.0, 2.0]]},
            "meta": {"billed_units": {"input_tokens": 4}},
        },
        4,
    ),
    "cohere without units": (COHERE, {"embeddings": {"float": [[0.5, -1.0], [0.0, 2.0]]}}, 0),
    "gemini": (GEMINI, {"embeddings": [{"values": [0.5, -1.0]}, {"values": [0, 2]}]}, 0),
    "gemini with its tokens": (
        GEMINI,
        {
            "embeddings": [{"values": [0.5, -1.0]}, {"values": [0, 2]}],
            "usageMetadata": {"promptTokenCount": 9},
        },
        9,
    ),
}


@pytest.mark.parametrize(("dialect", "body", "tokens"), READ.values(), ids=READ.keys())
def test_what_is_read(dialect: EmbeddingDialect, body: dict[str, Any], tokens: int) -> None:
    reply = dialect.decode(json.dumps(body).encode(), 2)
    assert reply.vectors == [ONE, TWO]
    assert reply.tokens == tokens


@pytest.mark.parametrize("dialect", [OPENAI, VOYAGE, COHERE, GEMINI], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b'{"data": 1, "embeddings": 1}',
        b'{"data": [{"embedding": "no base64!"}], "embeddings": [{"values": "x"}]}',
        b'{"data": [{"embedding": "AAA="}], "embeddings": {"float": ["x"]}}',
        b'{"data": [{"index": 2, "embedding": []}], "embeddings": [1]}',
        b'{"data": [{"index": 0, "embedding": []}, {"index": 0, "embedding": []}], "embeddings": 0}',
    ],
)
def test_what_is_no_reply(dialect: EmbeddingDialect, body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        dialect.decode(body, 2)


vectors = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40)


@given(vectors)
def test_a_unit_vector_has_length_one_and_the_same_direction(numbers: list[float]) -> None:
    vector = struct.pack(f"<{len(numbers)}f", *numbers)
    found = struct.unpack(f"<{len(numbers)}f", unit(vector))
    length = math.hypot(*struct.unpack(f"<{len(numbers)}f", vector))
    if length == 0:
        assert set(found) == {0.0}
    else:
        assert math.hypot(*found) == pytest.approx(1.0, abs=2e-4)
        assert found == pytest.approx([number / length for number in numbers], abs=2e-4)


@given(vectors)
def test_base64_is_read_as_it_was_written(numbers: list[float]) -> None:
    vector = struct.pack(f"<{len(numbers)}f", *numbers)
    assert from_base64(packed(vector)) == vector


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_vector_of_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        unit(struct.pack("<2f", 1.0, number))
