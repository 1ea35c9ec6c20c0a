"""What an embedder gives: vectors as bytes, so that neither core nor a caller without arrays needs a library for them."""

from typing import Literal, TypeAlias

import msgspec

Purpose: TypeAlias = Literal["query", "document"]
"""What a text is embedded for; models that were trained with a prefix for each make a difference."""

FLOAT_BYTES = 4


class Embeddings(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One vector a text, in the order of the texts."""

    vectors: bytes
    """float32, little-endian, row after row, each of length 1 or 0: `numpy.frombuffer(vectors, "<f4").reshape(-1, dimensions)`."""
    dimensions: int

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.vectors) // (FLOAT_BYTES * self.dimensions)

    def __getitem__(self, index: int) -> "memoryview[float]":
        """One vector, as a view of floats that copies nothing (on a little-endian machine)."""
        width = FLOAT_BYTES * self.dimensions
        if not 0 <= index < len(self):
            raise IndexError(index)
        return memoryview(self.vectors)[index * width : (index + 1) * width].cast("f")
