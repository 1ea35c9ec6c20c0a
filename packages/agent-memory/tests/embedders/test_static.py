"""The embedded table: vectors that mean something, offline, always the same."""

import subprocess
import sys

import numpy as np
import pytest

from agent_core import Embeddings
from agent_memory.embedders import StaticEmbedder


@pytest.fixture(scope="module")
def embedder():
    return StaticEmbedder()


def cosines(embedder, query, texts):
    vectors = embedder.vectors([query, *texts])
    return (vectors[1:] @ vectors[0]).tolist()


async def test_the_port_gives_one_unit_vector_a_text(embedder):
    found = await embedder.embed(["a cat sat on the mat", "how to read a csv file"])
    assert isinstance(found, Embeddings)
    assert (len(found), found.dimensions) == (2, embedder.dimensions)
    assert np.linalg.norm(np.array(found[1])) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("a dog barked", "the puppy was loud", "interest rates rose"),
        ("heart attack", "myocardial infarction", "stock exchange"),
        (
            "open a file in python",
            "def read_file(path): return open(path).read()",
            "def add(a, b): return a + b",
        ),
        ("the lawyer went to court", "an attorney before the judge", "a recipe for soup"),
        ("kidney failure", "renal disease", "hard disk failure"),
    ],
)
def test_what_means_alike_is_near(embedder, query, near, far):
    nearer, farther = cosines(embedder, query, [near, far])
    assert nearer > farther + 0.05


@pytest.mark.parametrize("text", ["", "  ", "!!!", "\u0000"])
async def test_a_text_without_words_has_a_vector_of_zeros(embedder, text):
    found = await embedder.embed([text, "words"])
    assert not np.array(found[0]).any()
    assert np.array(found[1]).any()


def test_a_vector_does_not_depend_on_its_neighbours(embedder):
    texts = [f"text number {number} about ships and shoes" * (number % 7) for number in range(300)]
    together = embedder.vectors(texts)
    alone = np.concatenate([embedder.vectors([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_a_text_of_many_words_is_embedded_in_bounded_memory(embedder):
    (short, long) = embedder.vectors(["ships and shoes", "ships and shoes " * 50_000])
    assert float(short @ long) == pytest.approx(1, abs=1e-3)


def test_it_needs_numpy_and_no_network():
    code = (
        "import socket; socket.socket = None\n"
        "from agent_memory.embedders.static import StaticEmbedder\n"
        "assert StaticEmbedder().vectors(['hello']).any()\n"
        "import sys; print({'onnxruntime', 'lancedb', 'tokenizers', 'diskcache'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_own_table_is_loaded_from_a_folder(tmp_path):
    np.save(tmp_path / "table.npy", np.array([[127, 0], [0, 127]], dtype=np.int8))
    np.save(tmp_path / "scales.npy", np.array([1, 1], dtype=np.float16))
    (tmp_path / "words.txt").write_text("yes\nno\n")
    embedder = StaticEmbedder(tmp_path)
    assert embedder.dimensions == 2
    assert embedder.vectors(["Yes", "no"]).tolist() == [[1, 0], [0, 1]]
