"""Indexes of vectors find what comparing all finds, with and without a filter; places that moved are noticed."""

from datetime import timedelta

import numpy as np
import pytest

from agent_memory.knowledge import index, retrieval
from agent_memory.knowledge.domains import Domain, Field
from agent_memory.knowledge.retrieval import RetrievalWeights, Shelf
from agent_memory.knowledge.rows import Unit, batch
from agent_memory.knowledge.tables import LanceTables

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


async def recall(table, found, cosines, allowed):
    rows = await table.rows([place for place, _ in found[:10]])
    wanted = np.argsort(-np.where(allowed, cosines, -9))[:10]
    return len({unit(number).key for number in wanted} & {row.card.key for row in rows.values()}) / 10


async def kind_of_index(table):
    return {one.name: one.index_type for one in await table._table.list_indices()}["vector_idx"]


def as_at_size(monkeypatch, graph_below):
    """The indexes of a large table for a small one."""
    for module in (index, retrieval):
        monkeypatch.setattr(module, "EXACT_BELOW", 1_000)
    monkeypatch.setattr(index, "GRAPH_BELOW", graph_below)


@pytest.mark.parametrize(("graph_below", "kind"), [(1_000_000, "IvfHnswSq"), (2_000, "IvfRq")])
async def test_an_index_misses_next_to_nothing(table, vectors, monkeypatch, graph_below, kind):
    as_at_size(monkeypatch, graph_below)
    await table.index_vectors(COUNT)
    assert await kind_of_index(table) == kind
    shelf, topics = Shelf(DOMAIN, table), np.arange(COUNT) % 8
    every, some = [], []
    for query in vectors[::300]:
        cosines = vectors @ query
        every.append(await recall(table, await shelf.nearest(query, "", 100), cosines, topics >= 0))
        few = await shelf.nearest(query, "`m_topic` = 't3'", 100)
        some.append(await recall(table, few, cosines, topics == 3))
    assert np.mean(every) >= 0.95
    assert np.mean(some) >= 0.95


async def test_below_that_all_are_compared(table, vectors):
    shelf = Shelf(DOMAIN, table)
    (place, cosine), *_ = await shelf.nearest(vectors[7], "", 3)
    assert cosine == pytest.approx(1, abs=1e-5)
    assert (await table.rows([place]))[place].text == "note 7"
    await table.add(batch([unit(COUNT)], -vectors[7:8], table.layout))
    ((place, _),) = await shelf.nearest(-vectors[7], "", 1)
    assert (await table.rows([place]))[place].text == f"note {COUNT}"


async def test_vectors_whose_dimensions_cannot_be_coded_in_bits_are_coded_otherwise(tmp_path, monkeypatch):
    as_at_size(monkeypatch, 2_000)
    odd = np.random.default_rng(2).standard_normal((COUNT, 30), dtype=np.float32)
    odd /= np.linalg.norm(odd, axis=1, keepdims=True)
    tables = await LanceTables.connect(str(tmp_path), {})
    table = await tables.create(DOMAIN, dimensions=30, embedder="none")
    await table.add(batch([unit(number) for number in range(COUNT)], odd, table.layout))
    await table.index_vectors(COUNT)
    assert await kind_of_index(table) == "IvfSq"
    shelf, every = Shelf(DOMAIN, table), np.ones(COUNT, bool)
    found = [
        await recall(table, await shelf.nearest(query, "", 100), odd @ query, every) for query in odd[::600]
    ]
    assert np.mean(found) >= 0.95
    table.close()
    tables.close()


@pytest.mark.parametrize("compared_one_by_one", [2_000, 0])
async def test_a_filter_that_lets_few_pass_misses_nothing(table, vectors, monkeypatch, compared_one_by_one):
    as_at_size(monkeypatch, 2_000)
    monkeypatch.setattr(index, "_FEW", compared_one_by_one)
    # Of so small partitions a fifth is searched without a filter: most of the few that pass lie in the others.
    monkeypatch.setattr(index, "_ROWS_A_PARTITION", 8)
    await table.index_vectors(COUNT)
    shelf, passing = Shelf(DOMAIN, table), np.arange(COUNT) < 40
    where = f"source IN ({', '.join(repr(f's{number}') for number in range(40))})"
    found = [
        await recall(table, await shelf.nearest(query, where, 100), vectors @ query, passing)
        for query in vectors[::300]
    ]
    assert np.mean(found) >= 0.95


def test_the_fewer_rows_a_filter_lets_pass_the_more_partitions_are_searched():
    rows = 1_000_000
    shares = [index._probes(rows, passing) * index._ROWS_A_PARTITION / rows for passing in (rows, rows // 8)]
    assert shares == pytest.approx([0.2, 0.2], abs=0.01)
    assert index._probes(rows, rows // 32) == pytest.approx(2 * index._probes(rows, rows), abs=1)
    assert index._probes(rows, rows // 400) >= rows / index._ROWS_A_PARTITION


async def test_a_place_of_a_row_that_moved_or_went_holds_no_other_row(table):
    found = [place for place, _ in await table.full_text("window", "note 17", "", 5)]
    assert len(await table.rows(found)) == 5
    await table.delete(["s17"])
    assert len(await table.rows(found)) == 4
    await table.delete([f"s{number}" for number in range(100, 3_000)])
    await table.optimize(keep=timedelta(hours=1))
    assert await table.rows([*found, 1 << 50]) == {}


async def test_a_search_whose_rows_are_moved_meanwhile_is_made_again(table, vectors, monkeypatch):
    shelf, read = Shelf(DOMAIN, table), table.rows
    moved = []

    async def moving(places):
        if not moved:
            await table.delete([f"s{number}" for number in range(100, 3_000)])
            await table.optimize(keep=timedelta(hours=1))
        moved.append(len(places))
        return await read(places)

    monkeypatch.setattr(table, "rows", moving)
    weights = RetrievalWeights()
    found = await shelf.search("note 17", vectors[17], k=3, filters=None, weights=weights)
    assert found[0].text == "note 17"
    assert len(moved) == 2
