"""Indexes of vectors find what comparing all finds, with and without a filter; places that moved are noticed."""

from datetime import timedelta

import numpy as np
import pytest

from agent_memory.knowledge import index, retrieval
from agent_memory.knowledge.domains import Domain, Field
from agent_memory.knowledge.index import LanceTables
from agent_memory.knowledge.retrieval import Shelf
from agent_memory.knowledge.rows import Unit, batch

DOMAIN = Domain(name="general", description="", fields=(Field(name="topic"),))
COUNT, DIMENSIONS = 6_000, 32


def unit(number):
    return Unit(
        source=f"s{number}",
        ordinal=0,
        digest="1",
        text=f"note {number}",
        window=f"note {number}",
        lead="",
        metadata={"topic": f"t{number % 8}"},
    )


@pytest.fixture
def vectors():
    chance = np.random.default_rng(1)
    middles = chance.standard_normal((40, DIMENSIONS), dtype=np.float32)
    made = middles[chance.integers(0, 40, COUNT)] + chance.standard_normal(
        (COUNT, DIMENSIONS), dtype=np.float32
    )
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
async def table(tmp_path, vectors):
    tables = await LanceTables.connect(str(tmp_path), {})
    made = await tables.create(DOMAIN, dimensions=DIMENSIONS, embedder="none")
    await made.add(batch([unit(number) for number in range(COUNT)], vectors, made.layout))
    await made.optimize(keep=timedelta(hours=1))
    yield made
    made.close()
    tables.close()


def recall(found, cosines, keys, allowed):
    wanted = set(keys[np.argsort(-np.where(allowed, cosines, -9))[:10]].tolist())
    return len(wanted & {key for key, _ in found.hits[:10]}) / 10


@pytest.mark.parametrize(("graph_below", "kind"), [(1_000_000, "HnswSq"), (2_000, "IvfPq")])
async def test_an_index_misses_next_to_nothing(table, vectors, monkeypatch, graph_below, kind):
    for module in (index, retrieval):
        monkeypatch.setattr(module, "EXACT_BELOW", 1_000)
    monkeypatch.setattr(index, "GRAPH_BELOW", graph_below)
    await table.index_vectors(COUNT)
    indexes = {one.name: one.index_type for one in await table._table.list_indices()}
    assert kind in indexes["vector_idx"]
    keys = np.array([unit(number).key for number in range(COUNT)])
    shelf, topics = Shelf(DOMAIN, table), np.arange(COUNT) % 8
    every, some = [], []
    for query in vectors[::300]:
        cosines = vectors @ query
        every.append(recall(await shelf.nearest(query, "", 100), cosines, keys, topics >= 0))
        some.append(recall(await shelf.nearest(query, "`m_topic` = 't3'", 100), cosines, keys, topics == 3))
    assert np.mean(every) >= 0.95
    assert np.mean(some) >= 0.95


async def test_below_that_all_are_compared(table, vectors):
    shelf = Shelf(DOMAIN, table)
    found = await shelf.nearest(vectors[7], "", 3)
    assert found.hits[0] == (unit(7).key, pytest.approx(1, abs=1e-5))
    await table.add(batch([unit(COUNT)], -vectors[7:8], table.layout))
    assert (await shelf.nearest(-vectors[7], "", 1)).hits[0][0] == unit(COUNT).key


async def test_a_row_that_moved_is_found_all_the_same(table):
    found = await table.full_text("window", "note 17", "", 5)
    await table.delete([f"s{number}" for number in range(100, 3_000)])
    await table.optimize(keep=timedelta(hours=1))
    keys = [unit(17).key, unit(5_000).key]
    wrong = {keys[0]: 3, keys[1]: 1 << 50}
    assert {row.text for row in await table.rows(keys, found.places | wrong)} == {"note 17", "note 5000"}
    assert await table.rows([unit(200).key], {unit(200).key: 200}) == []
