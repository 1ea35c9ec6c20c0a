"""Other stores of vectors on the same vectors, each in an environment of its own.

    python -P vector_stores.py NAME ROWS

prints JSON: rows a second, p50 and p99 of a query in milliseconds, recall of the ten nearest; with a filter that one row
in eight passes as well, where the store has filters.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

PEERS = {
    "chroma": ("chromadb==1.5.9",),
    "faiss HNSW": ("faiss-cpu==1.15.1", "numpy"),
    "sqlite-vec": ("sqlite-vec==0.1.9", "apsw", "numpy"),
}
DIMENSIONS = 256
QUERIES = 100
TIMEOUT_S = 1_800


def vectors(count, seed):
    """Unit vectors around 4,096 middles, as embeddings of many subjects are."""
    import numpy as np

    middles = np.random.default_rng(5).standard_normal((4_096, DIMENSIONS), dtype=np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    chance = np.random.default_rng(seed)
    noise = chance.standard_normal((count, DIMENSIONS), dtype=np.float32) * np.float32(0.05)
    made = middles[chance.integers(0, len(middles), count)] + noise
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def timed(ask, queries, truth):
    """p50, p99 and recall."""
    took, right = [], 0
    for query, wanted in zip(queries, truth, strict=True):
        begun = time.perf_counter()
        found = ask(query)
        took.append((time.perf_counter() - begun) * 1e3)
        right += len(set(found) & wanted)
    took.sort()
    return {
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[int(len(took) * 0.99)], 2),
        "recall": round(right / 10 / len(queries), 3),
    }


def nearest(rows, queries, allowed=None):
    """The truth."""
    import numpy as np

    for query in queries:
        cosines = rows @ query
        if allowed is not None:
            cosines = np.where(allowed, cosines, -9)
        yield set(np.argpartition(-cosines, 10)[:10].tolist())


def chroma(rows):
    import chromadb

    client = chromadb.PersistentClient(tempfile.mkdtemp())
    made = client.create_collection("vectors", metadata={"hnsw:space": "cosine"})
    for start in range(0, len(rows), 5_000):
        part = rows[start : start + 5_000]
        numbers = range(start, start + len(part))
        made.add(
            ids=[str(n) for n in numbers],
            embeddings=part,
            metadatas=[{"topic": f"t{n % 8}"} for n in numbers],
        )

    def ask(query, where=None):
        found = made.query(query_embeddings=[query], n_results=10, where=where)
        return [int(one) for one in found["ids"][0]]

    return ask, lambda query: ask(query, {"topic": "t3"})


def faiss_hnsw(rows):
    import faiss

    index = faiss.IndexHNSWFlat(DIMENSIONS, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    index.hnsw.efSearch = 64
    return lambda query: index.search(query[None], 10)[1][0].tolist(), None


def sqlite_vec(rows):
    import apsw
    import sqlite_vec as extension

    db = apsw.Connection(str(Path(tempfile.mkdtemp(), "v.db")))
    db.enable_load_extension(True)
    db.load_extension(extension.loadable_path())
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(topic TEXT PARTITION KEY, vector FLOAT[{DIMENSIONS}])")
    with db:
        db.executemany(
            "INSERT INTO v(rowid, topic, vector) VALUES (?, ?, ?)",
            ((n, f"t{n % 8}", row.tobytes()) for n, row in enumerate(rows)),
        )
    asked = "SELECT rowid FROM v WHERE vector MATCH ? AND k = 10"
    return (
        lambda query: [one for (one,) in db.execute(asked, (query.tobytes(),))],
        lambda query: [one for (one,) in db.execute(f"{asked} AND topic = 't3'", (query.tobytes(),))],
    )


STORES = {"chroma": chroma, "faiss HNSW": faiss_hnsw, "sqlite-vec": sqlite_vec}


def main():
    """Measure one store, in its environment."""
    import numpy as np

    name, count = sys.argv[1], int(sys.argv[2])
    rows, queries = vectors(count, 1), vectors(QUERIES, 2)
    begun = time.perf_counter()
    ask, ask_filtered = STORES[name](rows)
    told = {"rows_per_s": round(count / (time.perf_counter() - begun))}
    told |= timed(ask, queries, list(nearest(rows, queries)))
    if ask_filtered:
        allowed = np.arange(count) % 8 == 3
        filtered = timed(ask_filtered, queries, list(nearest(rows, queries, allowed)))
        told |= {f"filtered_{key}": value for key, value in filtered.items()}
    print(json.dumps(told))


def measured(name, rows):
    """The figures of a peer, or why there are none."""
    uv = shutil.which("uv")
    if uv is None:
        return {"not measured": "there is no uv to make its environment with"}
    root = Path(__file__).parents[2]
    newest = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["exclude-newer"]
    needs = [part for one in PEERS[name] for part in ("--with", one)]
    command = [uv, "run", "--quiet", "--no-project", "--python", "3.11", "--exclude-newer", newest, *needs]
    outside = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    try:
        done = subprocess.run(
            [*command, "python", "-P", __file__, name, str(rows)],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
            env=outside | {"ANONYMIZED_TELEMETRY": "False"},
        )
    except subprocess.TimeoutExpired:
        return {"not measured": f"it took more than {TIMEOUT_S} s"}
    except subprocess.CalledProcessError as error:
        return {"not measured": (error.stderr.strip().splitlines() or ["it failed"])[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
