"""Vectors compared one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent_memory.knowledge.exact import ExactVectors


def some(count, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.arange(1_000, 1_000 + count, dtype=np.int64)[::-1].copy(), vectors


@given(st.integers(1, 60), st.integers(1, 80), st.sets(st.integers(990, 1_070)))
def test_it_finds_what_sorting_finds(count, wanted, among):
    places, vectors = some(count)
    exact = ExactVectors(places, vectors, 1)
    query = vectors[0]
    cosines = dict(zip(places.tolist(), (vectors @ query).tolist(), strict=True))
    best = sorted(cosines, key=lambda place: -cosines[place])
    assert [place for place, _ in exact.nearest(query, wanted)] == best[:wanted]
    allowed = np.array(sorted(among), dtype=np.int64)
    assert [place for place, _ in exact.nearest(query, wanted, allowed)] == [
        place for place in best if place in among
    ][:wanted]


def test_nothing_is_nearest_to_nothing():
    exact = ExactVectors(np.zeros(0, np.int64), np.zeros((0, 8), np.float32), 1)
    assert exact.nearest(np.ones(8, np.float32), 5) == []
    assert len(exact) == 0
