"""Embeddings: the embedded table's own vectors, as numbers and in base64."""

import base64
import struct

import pytest

from agent_core.testing import answer
from agent_memory.embedders.static import StaticEmbedder

MODEL = StaticEmbedder.name


async def test_texts_become_the_vectors_of_the_embedded_table(serving, wrong):
    async with serving([answer("x")]) as (client, _):
        assert (await client.get(f"/v1/models/{MODEL}")).json()["id"] == MODEL
        texts = ["a red car", "a crimson automobile", "tax law"]
        reply = (await client.post("/v1/embeddings", json={"model": MODEL, "input": texts})).json()
        assert wrong(reply, "CreateEmbeddingResponse") == []
        vectors = [one["embedding"] for one in reply["data"]]
        assert [one["index"] for one in reply["data"]] == [0, 1, 2]
        own = await StaticEmbedder().embed(texts)
        assert vectors[1] == own[1].tolist()
        near, far = (sum(a * b for a, b in zip(vectors[0], v, strict=True)) for v in vectors[1:])
        assert near > far
        body = {"model": MODEL, "input": texts[0], "encoding_format": "base64", "dimensions": 256}
        encoded = (await client.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
        assert list(struct.unpack("<256f", base64.b64decode(encoded))) == pytest.approx(vectors[0])
        (day,) = (await client.get("/api/v1/usage")).json()["items"]
        assert day["input_tokens"] >= reply["usage"]["prompt_tokens"] > 0


async def test_a_wrong_request_is_told_by_its_field(serving):
    cases = [
        ({"model": "agent"}, 404, "model"),
        ({"input": []}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": [1, 2]}, 400, "input[0]"),
        ({"dimensions": 8}, 400, "dimensions"),
        ({"encoding_format": "hex"}, 400, "encoding_format"),
    ]
    async with serving([answer("x")]) as (client, _):
        for fields, status, param in cases:
            reply = await client.post("/v1/embeddings", json={"model": MODEL, "input": "x", **fields})
            assert (reply.status_code, reply.json()["error"]["param"]) == (status, param), reply.text
