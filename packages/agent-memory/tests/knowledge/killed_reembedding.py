"""A process that embeds a knowledge base again until it is killed: `python killed_reembedding.py FOLDER`.

It prints how many vectors are made, one number a line. `Counted` is the embedder, for the test too.
"""

import asyncio
import hashlib
import struct
import sys

from agent_core import Embeddings
from agent_memory import LanceKnowledgeBase

DIMENSIONS = 8


class Counted:
    """A fake embedder: a vector is a hash of its text; knows what it was asked."""

    name = "fake:counted"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts, *, purpose="document"):
        self.asked += texts
        await asyncio.sleep(0.01)
        return Embeddings(vectors=b"".join(map(vector, texts)), dimensions=DIMENSIONS)


def vector(text: str) -> bytes:
    digest = hashlib.blake2b(text.encode(), digest_size=2 * DIMENSIONS).digest()
    numbers = [1.0 + byte for byte in digest[:DIMENSIONS]]
    length = sum(number * number for number in numbers) ** 0.5
    return struct.pack(f"<{DIMENSIONS}f", *(number / length for number in numbers))


async def main() -> None:
    def tell(done: int, _: int) -> None:
        sys.stdout.write(f"{done}\n")
        sys.stdout.flush()

    async with await LanceKnowledgeBase.open(sys.argv[1], tenant="t", embedder=Counted()) as kb:
        await kb.reembed("general", on_progress=tell)


if __name__ == "__main__":
    asyncio.run(main())
