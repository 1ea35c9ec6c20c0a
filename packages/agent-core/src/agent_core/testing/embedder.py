"""An embedder without a model: words are hashed, so texts that share words are near to each other."""

import math
import struct
from collections.abc import Sequence
from hashlib import blake2b

from agent_core.embeddings import Embeddings, Purpose


class HashEmbedder:
    """Deterministic vectors of hashed words; `asked` records the texts with their purpose."""

    def __init__(self, dimensions: int = 64) -> None:
        self._dimensions = dimensions
        self.asked: list[tuple[str, Purpose]] = []
        self.closed: int = 0

    @property
    def name(self) -> str:
        """The name says the dimensions: others are other vectors."""
        return f"test:hash-{self._dimensions}"

    @property
    def dimensions(self) -> int:
        """As given."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """One vector a text, of length 1; of length 0 where there are no words. The purpose makes no difference."""
        self.asked.extend((text, purpose) for text in texts)
        vectors = b"".join(self._vector(text) for text in texts)
        return Embeddings(vectors=vectors, dimensions=self._dimensions)

    def _vector(self, text: str) -> bytes:
        numbers = [0.0] * self._dimensions
        for word in text.lower().split():
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            place, sign = int.from_bytes(digest[:7], "little"), digest[7] & 1
            numbers[place % self._dimensions] += 1.0 if sign else -1.0
        length = math.hypot(*numbers) or 1.0
        return struct.pack(f"<{self._dimensions}f", *(number / length for number in numbers))

    async def aclose(self) -> None:
        """Holds nothing; `closed` counts the calls."""
        self.closed += 1
