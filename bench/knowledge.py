"""How well knowledge bases find what they were given: nDCG@10 on retrieval sets that were cut already.

    uv run python bench/knowledge.py [--json] [--peers] [--onnx] [FILE.jsonl.gz ...]

A set is lines of `{"doc", "text"}` and then `{"query", "rel": {doc: 1}}`; the two in `../shared/kb` are asked if none is
named. `--peers`: LanceDB's own full text, and bm25s where it is installed (`uv run --with bm25s ...`). No weight was
fitted to these questions one by one; what was chosen on them is the list of signals.
"""

import asyncio
import gzip
import importlib.util
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from figures import Figure, print_figures

from agent_memory import LanceKnowledgeBase, OnnxEmbedder
from agent_memory.knowledge.chunking import units
from agent_memory.knowledge.documents import Document
from agent_memory.knowledge.domains import BUILT_IN, Chunking

KB = Path(__file__).parents[2] / "shared" / "kb"
DOMAINS = {"cosqa": "code", "medquad": "medical"}
TARGETS = {"cosqa": ">= 0.412", "medquad": ">= 0.493"}
DEPTH = 10


class Questions(NamedTuple):
    name: str
    documents: dict[str, str]
    queries: list[tuple[str, dict[str, float]]]


def read(path: Path) -> Questions:
    """A set of texts and questions."""
    documents, queries = {}, []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            if "doc" in one:
                documents[one["doc"]] = one["text"]
            else:
                queries.append((one["query"], one["rel"]))
    return Questions(path.name.split(".")[0], documents, queries)


def ndcg(found: list[str], relevant: dict[str, float]) -> float:
    """Of the first ten different documents."""
    found = list(dict.fromkeys(found))[:DEPTH]
    gained = sum(relevant.get(doc, 0) / math.log2(place + 2) for place, doc in enumerate(found))
    ideal = sorted(relevant.values(), reverse=True)[:DEPTH]
    return gained / sum(gain / math.log2(place + 2) for place, gain in enumerate(ideal))


async def ours(questions: Questions, embedder=None) -> tuple[float, float]:
    """nDCG@10 and milliseconds a query; a document is one passage, as the peers have it."""
    name = DOMAINS.get(questions.name, "general")
    whole = Chunking(words=2_000, neighbours=0)
    with tempfile.TemporaryDirectory() as folder:
        async with await LanceKnowledgeBase.open(
            folder, tenant="bench", embedder=embedder, domains={name: BUILT_IN[name]}
        ) as kb:
            made = [
                unit
                for doc, text in questions.documents.items()
                for unit in units(
                    Document(text=text, kind="text"), whole, source=doc, digest="1", metadata={}
                )
            ]
            await kb.write(name, made)
            await kb.put_in_order(name)
            begun, scores = time.perf_counter(), []
            for query, relevant in questions.queries:
                found = await kb.search(query, k=DEPTH * 2, domains=[name])
                scores.append(ndcg([one.citation.source for one in found], relevant))
            return sum(scores) / len(scores), (time.perf_counter() - begun) / len(scores) * 1e3


async def lance_full_text(questions: Questions) -> float:
    """LanceDB's own full text with its defaults."""
    import lancedb
    from lancedb.index import FTS
    from lancedb.query import MatchQuery

    with tempfile.TemporaryDirectory() as folder:
        db = await lancedb.connect_async(folder)
        rows = [{"doc": doc, "text": text} for doc, text in questions.documents.items()]
        table = await db.create_table("t", rows)
        await table.create_index("text", config=FTS())
        scores = []
        for query, relevant in questions.queries:
            hits = await table.query().nearest_to_text(MatchQuery(query, "text")).limit(DEPTH).to_list()
            scores.append(ndcg([hit["doc"] for hit in hits], relevant))
        return sum(scores) / len(scores)


def bm25s_score(questions: Questions) -> float:
    """bm25s with stems and without stop words."""
    import bm25s
    import Stemmer

    stem = Stemmer.Stemmer("english")
    names = list(questions.documents)
    index = bm25s.BM25()
    index.index(
        bm25s.tokenize(list(questions.documents.values()), stopwords="en", stemmer=stem, show_progress=False),
        show_progress=False,
    )
    asked = bm25s.tokenize(
        [query for query, _ in questions.queries], stopwords="en", stemmer=stem, show_progress=False
    )
    found, _ = index.retrieve(asked, k=DEPTH, show_progress=False)
    pairs = zip(found, questions.queries, strict=True)
    return sum(ndcg([names[place] for place in row], relevant) for row, (_, relevant) in pairs) / len(found)


async def peers(questions: Questions) -> dict[str, object]:
    """Others on the same questions."""
    told: dict[str, object] = {"LanceDB full text": round(await lance_full_text(questions), 4)}
    if importlib.util.find_spec("bm25s"):
        told["bm25s"] = round(bm25s_score(questions), 4)
    else:
        told["bm25s"] = "not installed: uv run --with bm25s"
    return told


async def measure() -> list[Figure]:
    """A figure a set, and their mean."""
    named = [Path(one) for one in sys.argv[1:] if not one.startswith("--")]
    files = named or sorted(KB.glob("*.jsonl.gz"))
    embedder = await OnnxEmbedder.open() if "--onnx" in sys.argv else None
    return [figure async for figure in figures(files, embedder)]


async def figures(files: list[Path], embedder=None):
    """One after the other: they share the machine."""
    scores = []
    for path in files:
        questions = read(path)
        score, took_ms = await ours(questions, embedder)
        beside = await peers(questions) if "--peers" in sys.argv else {}
        scores.append(score)
        yield Figure(
            f"knowledge.{questions.name}.ndcg@10", score, "", TARGETS.get(questions.name, ""), beside
        )
        yield Figure(f"knowledge.{questions.name}.query", took_ms, "ms")
    if scores:
        yield Figure("knowledge.mean.ndcg@10", sum(scores) / len(scores), "")


def missing() -> Iterator[str]:
    """Why nothing can be measured, if so."""
    if not KB.exists() and not [one for one in sys.argv[1:] if not one.startswith("--")]:
        yield f"there are no sets in {KB}; name a file"


if __name__ == "__main__":
    for reason in missing():
        sys.exit(reason)
    print_figures(asyncio.run(measure()))
