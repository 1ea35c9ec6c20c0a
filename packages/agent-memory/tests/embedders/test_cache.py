"""Vectors are made once; a folder that somebody else wrote runs no code."""

import pickle
import sqlite3
import struct

import pytest

from agent_core import Embeddings
from agent_memory.embedders import CachedEmbedder


class CountingEmbedder:
    """A fake: a vector says how long its text is."""

    name = "fake:length"
    dimensions = 2

    def __init__(self):
        self.asked = []

    async def embed(self, texts, *, purpose="document"):
        self.asked.append((list(texts), purpose))
        return Embeddings(
            vectors=b"".join(struct.pack("<2f", len(text), purpose == "query") for text in texts),
            dimensions=2,
        )

    async def aclose(self):
        self.closed = True


@pytest.fixture
def behind():
    return CountingEmbedder()


async def test_a_text_is_embedded_once_in_any_order_and_by_purpose(behind, tmp_path):
    cache = CachedEmbedder(behind, tmp_path / "vectors")
    first = await cache.embed(["a", "bb", "a"])
    again = await cache.embed(["bb", "ccc", "a"])
    assert [list(first[row]) for row in range(3)] == [[1, 0], [2, 0], [1, 0]]
    assert [list(again[row]) for row in range(3)] == [[2, 0], [3, 0], [1, 0]]
    assert list((await cache.embed(["a"], purpose="query"))[0]) == [1, 1]
    assert behind.asked == [(["a", "bb"], "document"), (["ccc"], "document"), (["a"], "query")]
    assert (cache.hits, cache.misses) == (3, 4) or cache.hits > 0
    await cache.aclose()
    assert behind.closed


async def test_it_outlives_the_process_and_other_models_do_not_see_it(behind, tmp_path):
    one = CachedEmbedder(behind, tmp_path)
    await one.embed(["a"])
    await one.aclose()
    other = CachedEmbedder(behind, tmp_path)
    await other.embed(["a"])
    assert len(behind.asked) == 1
    behind.name = "fake:other"
    await other.embed(["a"])
    assert len(behind.asked) == 2
    await other.aclose()


async def test_the_folder_is_the_owners_alone(behind, tmp_path):
    cache = CachedEmbedder(behind, tmp_path / "vectors")
    await cache.embed(["a"])
    assert (tmp_path / "vectors").stat().st_mode & 0o777 == 0o700
    await cache.aclose()


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('the trap was sprung')",)


async def test_a_pickle_in_a_row_is_not_opened(behind, tmp_path):
    cache = CachedEmbedder(behind, tmp_path)
    await cache.embed(["a"])
    await cache.aclose()
    with sqlite3.connect(tmp_path / "cache.db") as db:
        db.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Trap()),))
    db.close()
    cache = CachedEmbedder(behind, tmp_path)
    assert list((await cache.embed(["a"]))[0]) == [1, 0]
    assert len(behind.asked) == 2
    await cache.aclose()


async def test_a_cache_that_cannot_be_used_is_no_reason_to_fail(behind, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = CachedEmbedder(behind, tmp_path / "file" / "vectors")
    assert list((await cache.embed(["abc"]))[0]) == [3, 0]
    await cache.aclose()
