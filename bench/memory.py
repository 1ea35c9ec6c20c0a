"""How well memory finds what it was told. `--json`: one object a line; `--peers`: others on the same questions.

Long-term: the conversations of LoCoMo in `../shared/locomo/dev.json` and their questions, without a language model.
Recall is of the turns that hold the evidence. The signals of the ranking were chosen by leaving out one conversation in
turn; their weights were fitted on those of `FITTED`, and `held_out` is the figure on the others. Peers need `bm25s` and
`langgraph-checkpoint`; mem0 asks a language model for every addition, so it is none.
"""

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import knowledge
from figures import Figure, print_figures

from agent_core.ports import Embedder
from agent_memory import LongTermMemory
from agent_memory.embedders.static import StaticEmbedder

LOCOMO = Path(__file__).parents[2] / "shared" / "locomo" / "dev.json"
FITTED = ("conv-26", "conv-43", "conv-47")
MULTI_HOP = 1
_MONTHS_LATER = 30 * 86_400


class Turn(NamedTuple):
    id: str
    session: str
    speaker: str
    text: str
    said_at: float


class Question(NamedTuple):
    text: str
    category: int
    evidence: frozenset[str]


class Conversation(NamedTuple):
    name: str
    turns: list[Turn]
    questions: list[Question]


Ask = Callable[[str], Awaitable[list[str]]]
"""The ids of turns that answer a question, best first."""


def conversations() -> list[Conversation]:
    """LoCoMo, with those questions whose evidence names turns that are there."""
    return [_conversation(one) for one in json.loads(LOCOMO.read_text())]


def _conversation(one: dict) -> Conversation:
    turns = []
    sessions = sorted(
        (key for key in one["conversation"] if re.fullmatch(r"session_\d+", key)),
        key=lambda key: int(key.split("_")[1]),
    )
    for key in sessions:
        said = one["conversation"][f"{key}_date_time"]
        when = datetime.strptime(f"{said} +0000", "%I:%M %p on %d %B, %Y %z")
        for turn in one["conversation"][key]:
            image = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
            said_at = when.timestamp()
            turns.append(Turn(turn["dia_id"], key, turn["speaker"], turn["text"] + image, said_at))
    known = {turn.id for turn in turns}
    questions = []
    for asked in one["qa"]:
        named = re.findall(r"D:?(\d+):(\d+)", " ".join(asked.get("evidence", [])))
        evidence = frozenset(f"D{session}:{int(turn)}" for session, turn in named) & known
        if evidence:
            questions.append(Question(asked["question"], asked["category"], evidence))
    return Conversation(one["sample_id"], turns, questions)


async def ours(conversation: Conversation, folder: Path, embedder: Embedder | None) -> Ask:
    """The long-term memory."""
    memory = await LongTermMemory.open(folder / f"{conversation.name}.db", embedder=embedder)
    id_of: dict[int, str] = {}
    for turn in conversation.turns:
        row_id = await memory.add(
            turn.text, session_id=turn.session, speaker=turn.speaker, said_at=turn.said_at
        )
        assert row_id is not None
        id_of[row_id] = turn.id
    await memory.settled()
    now = conversation.turns[-1].said_at + _MONTHS_LATER

    async def ask(question: str) -> list[str]:
        return [id_of[hit.item.id] for hit in await memory.search(question, k=50, now=now)]

    return ask


def _windows(turns: Sequence[Turn]) -> list[str]:
    """Each turn with its day, its speaker and the turns beside it: what peers found most with."""
    plain = [
        f"[{datetime.fromtimestamp(turn.said_at, UTC):%d %B %Y}] {turn.speaker}: {turn.text}"
        for turn in turns
    ]
    return [" ".join(plain[max(0, i - 1) : i + 2]) for i in range(len(plain))]


async def bm25s_windows(conversation: Conversation, _: Path) -> Ask:
    """bm25s with Snowball stems and English stop words, over windows of three turns."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    retriever = bm25s.BM25()
    corpus = bm25s.tokenize(
        _windows(conversation.turns), stopwords="en", stemmer=stemmer, show_progress=False
    )
    retriever.index(corpus, show_progress=False)

    async def ask(question: str) -> list[str]:
        tokens = bm25s.tokenize(question, stopwords="en", stemmer=stemmer, show_progress=False)
        rows, _ = retriever.retrieve(tokens, k=50, show_progress=False)
        return [conversation.turns[i].id for i in rows[0]]

    return ask


async def lancedb_windows(conversation: Conversation, folder: Path) -> Ask:
    """LanceDB's full text, over windows of three turns."""
    import lancedb
    from lancedb.index import FTS

    db = await lancedb.connect_async(folder / f"{conversation.name}.lance")
    rows = [
        {"id": turn.id, "text": text}
        for turn, text in zip(conversation.turns, _windows(conversation.turns), strict=True)
    ]
    table = await db.create_table("turns", rows)
    await table.create_index("text", config=FTS())

    async def ask(question: str) -> list[str]:
        found = await table.query().nearest_to_text(question).select(["id", "_score"]).limit(50).to_list()
        return [row["id"] for row in found]

    return ask


async def langgraph_store(conversation: Conversation, _: Path) -> Ask:
    """LangGraph's store, which LangMem keeps its memories in: vectors alone, of the same embedder, a turn each."""
    import numpy as np
    from langgraph.store.memory import InMemoryStore

    embedder = StaticEmbedder()

    async def vectors(texts: Sequence[str]) -> list[list[float]]:
        embedded = await embedder.embed(texts)
        return np.frombuffer(embedded.vectors, "<f4").reshape(len(embedded), -1).tolist()

    store = InMemoryStore(index={"dims": embedder.dimensions, "embed": vectors, "fields": ["text"]})
    for turn in conversation.turns:
        day = f"{datetime.fromtimestamp(turn.said_at, UTC):%d %B %Y}"
        await store.aput(("memories",), turn.id, {"text": f"[{day}] {turn.speaker}: {turn.text}"})

    async def ask(question: str) -> list[str]:
        return [found.key for found in await store.asearch(("memories",), query=question, limit=50)]

    return ask


class Answered(NamedTuple):
    conversation: str
    question: Question
    ranked: list[str]
    ms: float


async def answered(conversation: Conversation, ask: Ask) -> list[Answered]:
    """Every question asked."""
    rows = []
    for question in conversation.questions:
        start = time.perf_counter()
        ranked = await ask(question.text)
        rows.append(Answered(conversation.name, question, ranked, (time.perf_counter() - start) * 1e3))
    return rows


def recall(rows: Sequence[Answered], k: int) -> float:
    """The mean share of the evidence among the first `k`."""
    return statistics.fmean(
        len(row.question.evidence & set(row.ranked[:k])) / len(row.question.evidence) for row in rows
    )


def reciprocal_rank(rows: Sequence[Answered]) -> float:
    """The mean of one over the place of the first evidence."""
    places = (
        next((place for place, one in enumerate(row.ranked, 1) if one in row.question.evidence), 0)
        for row in rows
    )
    return statistics.fmean(1 / place if place else 0.0 for place in places)


Measure = Callable[[Sequence[Answered]], float]
MEASURES: dict[str, tuple[Measure, str]] = {
    "recall_10": (lambda rows: recall(rows, 10), ">= .75"),
    "recall_5": (lambda rows: recall(rows, 5), ">= .66"),
    "mrr": (reciprocal_rank, ">= .55"),
    "multi_hop.recall_10": (
        lambda rows: recall([row for row in rows if row.question.category == MULTI_HOP], 10),
        ">= .50",
    ),
}


async def long_term() -> list[Figure]:
    """LoCoMo, with the embedded embedder and by words alone: all conversations, and those never fitted on."""
    embedder = StaticEmbedder()
    systems: dict[str, Callable[[Conversation, Path], Awaitable[Ask]]] = {
        "ours": lambda conversation, folder: ours(conversation, folder, embedder),
        "ours, words alone": lambda conversation, folder: ours(conversation, folder, None),
    }
    if "--peers" in sys.argv[1:]:
        systems |= {
            "bm25s": bm25s_windows,
            "LanceDB full text": lancedb_windows,
            "LangMem's store": langgraph_store,
        }
    results: dict[str, list[Answered]] = {name: [] for name in systems}
    with tempfile.TemporaryDirectory() as root:
        for name, system in systems.items():
            folder = Path(root, name)
            folder.mkdir()  # noqa: ASYNC240  # nothing else is going on
            for conversation in conversations():
                results[name] += await answered(conversation, await system(conversation, folder))
    figures = []
    own = results.pop("ours")
    for measure, (value, target) in MEASURES.items():
        peers = {name: round(value(rows), 3) for name, rows in results.items()}
        held_out = [row for row in own if row.conversation not in FITTED]
        figures.append(Figure(f"memory.locomo.{measure}", round(value(own), 4), "", target, peers))
        held_out_peers = {
            name: round(value([row for row in rows if row.conversation not in FITTED]), 3)
            for name, rows in results.items()
        }
        figures.append(
            Figure(f"memory.locomo.held_out.{measure}", round(value(held_out), 4), "", target, held_out_peers)
        )
    figures.append(Figure("memory.locomo.search.p50", statistics.median(row.ms for row in own), "ms"))
    return figures


if __name__ == "__main__":
    found = asyncio.run(long_term()) if LOCOMO.exists() else []
    print_figures([*found, *(asyncio.run(knowledge.measure()) if knowledge.KB.exists() else [])])
