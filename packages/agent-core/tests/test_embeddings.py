"""Vectors as bytes."""

import struct

import pytest

from agent_core import Embeddings


def test_rows_are_read_without_copying():
    found = Embeddings(vectors=struct.pack("<6f", 1, 0, 0, 0, 0.6, 0.8), dimensions=3)
    assert len(found) == 2
    assert found[1].tolist() == pytest.approx([0, 0.6, 0.8])
    assert found[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("index", [-1, 2])
def test_a_row_that_is_not_there_is_an_error(index):
    with pytest.raises(IndexError):
        Embeddings(vectors=bytes(24), dimensions=3)[index]
