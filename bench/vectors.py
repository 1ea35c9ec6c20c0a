"""What a knowledge base costs at size: writing, indexing, searching by vector, and by word and vector with a filter.

    uv run python bench/vectors.py [--json] [--rows 100000,1000000] [--peers] [--folder FOLDER]

Both sizes take about five minutes on two cores that do nothing else. Rows are 20 words by Zipf's law and a vector of 256 around one of 4,096 middles; a filter lets one row in eight pass.
Recall is of the ten nearest by comparing all. `--peers`: chroma, faiss and sqlite-vec, each in an environment of its own.
`--folder` keeps the tables, and finds them again. From text: files of Markdown, read, cut, embedded and kept. Wall times are of this machine as it is: its load is printed beside them,
and the processor time of a query, which depends on it less.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from figures import Figure, print_figures
from peers.vector_stores import PEERS, measured

from agent_memory import Domain, Field, LanceKnowledgeBase, RetrievalWeights
from agent_memory.embedders import StaticEmbedder
from agent_memory.knowledge.retrieval import Shelf
from agent_memory.knowledge.rows import pa
from agent_memory.knowledge.tables import LanceTables

DIMENSIONS = 256
BLOCK = 50_000
QUERIES = 100
FILES = 200
WORDS = np.array([f"w{number}" for number in range(50_000)])
SHARES = 1 / np.arange(1, len(WORDS) + 1)
SHARES /= SHARES.sum()
MIDDLES = np.random.default_rng(5).standard_normal((4_096, DIMENSIONS)).astype(np.float32)
MIDDLES /= np.linalg.norm(MIDDLES, axis=1, keepdims=True)
DOMAIN = Domain(
    name="general", description="", fields=(Field(name="topic"), Field(name="day", kind="number"))
)


def option(name, otherwise):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else otherwise


def vectors(count, chance):
    made = MIDDLES[chance.integers(0, len(MIDDLES), count)]
    made = made + chance.standard_normal((count, DIMENSIONS), dtype=np.float32) * np.float32(0.05)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def texts(count, words, chance):
    return [" ".join(row) for row in WORDS[chance.choice(len(WORDS), (count, words), p=SHARES)]]


def block(layout, start, count):
    """Rows `start` to `start + count`, the same every time."""
    chance = np.random.default_rng(start)
    rows, told = vectors(count, chance), texts(count, 20, chance)
    keys = np.arange(start, start + count)
    columns = {
        "key": keys,
        "source": [f"s{key}" for key in keys],
        "ordinal": np.zeros(count, np.int32),
        "page": pa.nulls(count, pa.int32()),
        "text": told,
        "window": told,
        "lead": [one[:60] for one in told],
        "card": [f'[{key},"s{key}","","",null,0,100,{{}}]' for key in keys],
        "m_topic": [f"t{key % 8}" for key in keys],
        "m_day": (keys % 365).astype(float),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIMENSIONS),
    }
    empty = [""] * count
    return pa.table([pa.array(columns.get(field.name, empty), field.type) for field in layout], schema=layout)


async def built(folder, rows):
    """A table of so many rows, and what it cost."""
    tables = await LanceTables.connect(str(folder), {})
    if "general" in await tables.names():
        return await tables.open("general"), []
    table = await tables.create(DOMAIN, dimensions=DIMENSIONS, embedder="none")
    wrote = busy = 0.0
    for start in range(0, rows, BLOCK):
        part = block(table.layout, start, min(BLOCK, rows - start))
        begun, cpu = time.perf_counter(), time.process_time()
        await table.add(part)
        wrote += time.perf_counter() - begun
        busy += time.process_time() - cpu
    load = {"load": f"{os.getloadavg()[0]:.1f}"}
    before, begun = peak_mb(), time.perf_counter()
    await table.optimize(keep=timedelta(milliseconds=1))
    optimized, grown = time.perf_counter() - begun, peak_mb() - before
    begun = time.perf_counter()
    await table.index_vectors(rows)
    return table, [
        Figure(f"vectors.{rows}.ingest", rows / wrote, "rows/s", ">= 100000", load),
        Figure(f"vectors.{rows}.ingest.cpu", rows / busy, "rows/CPU-s"),
        Figure(f"vectors.{rows}.optimize", optimized, "s"),
        Figure(f"vectors.{rows}.optimize.memory", grown, "MB more"),
        Figure(f"vectors.{rows}.index", time.perf_counter() - begun, "s"),
    ]


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def everything(rows):
    parts = (
        vectors(min(BLOCK, rows - start), np.random.default_rng(start)) for start in range(0, rows, BLOCK)
    )
    return np.concatenate(list(parts))


def truth(rows, queries, allowed=None):
    """The ten nearest of each query, and what looking at all of them takes: milliseconds, best of all."""
    found, best = [], 1e9
    for query in queries:
        begun = time.perf_counter()
        cosines = rows @ query
        np.argpartition(-cosines, 10)
        best = min(best, (time.perf_counter() - begun) * 1e3)
        if allowed is not None:
            cosines = np.where(allowed, cosines, -9)
        found.append(set(np.argpartition(-cosines, 10)[:10].tolist()))
    return found, best


async def asked(ask):
    """p50, p99 and processor time of a query in milliseconds; what each found."""
    took, answers = [], []
    for number in range(5):
        await ask(number)
    cpu = time.process_time()
    for number in range(QUERIES):
        begun = time.perf_counter()
        answers.append(await ask(number))
        took.append((time.perf_counter() - begun) * 1e3)
    cpu = (time.process_time() - cpu) / QUERIES * 1e3
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)], cpu, answers


async def recall(table, answers, wanted):
    """The share of the ten nearest that are among the answers."""
    right = 0
    for hits, nearest in zip(answers, wanted, strict=True):
        rows = await table.rows([place for place, _ in hits[:10]])
        right += len({row.card.key for row in rows.values()} & nearest)
    return right / 10 / len(wanted)


async def searched(table, rows):
    """Searches by vector alone, and by word and vector."""
    shelf, chance = Shelf(DOMAIN, table), np.random.default_rng(99)
    queries, words = vectors(QUERIES, chance), texts(QUERIES, 4, chance)
    where, filters = "`m_topic` = 't3'", {"topic": "t3"}
    all_rows = everything(rows)
    plain, scan_ms = truth(all_rows, queries)
    filtered, _ = truth(all_rows, queries, np.arange(rows) % 8 == 3)
    del all_rows

    async def by_vector(number, condition=""):
        return await shelf.nearest(queries[number], condition, 100)

    async def hybrid(number, condition):
        weights = RetrievalWeights()
        return await shelf.search(words[number], queries[number], k=10, filters=condition, weights=weights)

    load = f"{os.getloadavg()[0]:.1f}"
    targets = {"hybrid with filter": ("<= 25", "<= 40")}
    for name, ask, wanted in (
        ("vector", by_vector, plain),
        ("vector with filter", lambda number: by_vector(number, where), filtered),
        ("hybrid", lambda number: hybrid(number, None), plain),
        ("hybrid with filter", lambda number: hybrid(number, filters), filtered),
    ):
        p50, p99, cpu, answers = await asked(ask)
        beside = {"numpy scan ms": round(scan_ms, 1), "load": load}
        half, most = targets.get(name, ("", ""))
        yield Figure(f"vectors.{rows}.{name}.p50", p50, "ms", half, beside)
        yield Figure(f"vectors.{rows}.{name}.p99", p99, "ms", most)
        yield Figure(f"vectors.{rows}.{name}.cpu", cpu, "ms")
        if name == "vector":
            small = "<= 0.5" if rows == 100_000 else ""
            yield Figure(f"vectors.{rows}.vector.p50.over_numpy_scan", p50 / scan_ms, "times", small)
        if not name.startswith("hybrid"):
            wanted_recall = ">= 0.97" if rows == 100_000 and name == "vector" else ">= 0.95"
            right = await recall(table, answers, wanted)
            yield Figure(f"vectors.{rows}.{name}.recall@10", right, "", wanted_recall)


def embedding():
    """Texts and passages a second of processor time."""
    embedder, chance = StaticEmbedder(), np.random.default_rng(3)
    for name, words, count, target in (("short", 23, 4_000, ""), ("chunk", 190, 1_000, ">= 800")):
        told, best = texts(count, words, chance), 0.0
        for _ in range(3):
            begun = time.process_time()
            embedder.vectors(told)
            best = max(best, count / (time.process_time() - begun))
        yield Figure(f"embed.static.{name}", best, "texts/CPU-s", target)


async def from_text(folder):
    """Passages a second of processor time, all threads and the parser's process together, from files to a commit."""
    chance = np.random.default_rng(8)
    files = folder / "files"
    files.mkdir()
    for number in range(FILES):
        parts = texts(20, 170, chance)
        (files / f"{number}.md").write_text(
            "\n\n".join(f"# Part {n}\n\n{one}" for n, one in enumerate(parts))
        )
    async with await LanceKnowledgeBase.open(folder / "kb", tenant="t") as kb:
        await kb.write("general", [])  # the table is there
        begun, cpu = time.perf_counter(), processor_s()
        report = await kb.ingest(files)
        took, cpu = time.perf_counter() - begun, processor_s() - cpu
    assert len(report.added) == FILES
    yield Figure(
        "ingest.text.wall", report.passages / took, "chunks/s", "", {"load": f"{os.getloadavg()[0]:.1f}"}
    )
    yield Figure("ingest.text", report.passages / cpu, "chunks/CPU-s", ">= 800")


def processor_s():
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


async def measure():
    found = [*embedding()]
    with tempfile.TemporaryDirectory() as scratch:
        found += [figure async for figure in from_text(Path(scratch))]
        for rows in (int(size) for size in option("--rows", "100000,1000000").split(",")):
            folder = Path(option("--folder", scratch), str(rows))
            table, figures = await built(folder, rows)
            found += [*figures, *[figure async for figure in searched(table, rows)]]
            table.close()
            for name in PEERS if "--peers" in sys.argv else ():
                told = measured(name, rows)
                found.append(Figure(f"vectors.{rows}.{name}", float(told.get("p50_ms", 0)), "ms", "", told))
    return found


if __name__ == "__main__":
    print_figures(asyncio.run(measure()))
