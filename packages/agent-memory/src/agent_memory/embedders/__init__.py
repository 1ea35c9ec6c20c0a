"""Adapters of the `Embedder` port: the embedded static table, MiniLM on ONNX, and a cache before any of them."""

from agent_memory.embedders.cache import CachedEmbedder
from agent_memory.embedders.onnx import OnnxEmbedder
from agent_memory.embedders.static import StaticEmbedder

__all__ = ["CachedEmbedder", "OnnxEmbedder", "StaticEmbedder"]
