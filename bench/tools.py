"""How well skill memory finds the right tool, and how quickly. `--json`: one object a line.

Requests and tools are those of the Berkeley Function Calling Leaderboard, as the wheel `bfcl-eval` carries them: install
it without its requirements (`pip install --no-deps bfcl-eval`). Pools of 200 tools are drawn by a fixed seed; a request
counts where all the tools that it needs are in the pool. Without that wheel only the time is measured.
"""

import asyncio
import importlib.util
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from figures import Figure, print_figures

from agent_core.ports import Embedder
from agent_core.tools import ToolSpec
from agent_memory import SkillMemory
from agent_memory.embedders.static import StaticEmbedder

SETS = ("multiple", "live_multiple", "parallel_multiple", "simple_python")
POOLS = 3
WORDS = [f"word{number}" for number in range(3_000)]
SHARES = [1 / rank for rank in range(1, 3_001)]


def berkeley(name: str) -> tuple[dict[str, ToolSpec], list[tuple[str, frozenset[str]]]]:
    """The tools of one set, and its requests with the tools that each needs."""
    found = importlib.util.find_spec("bfcl_eval")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "data"
    questions = [json.loads(line) for line in (folder / f"BFCL_v4_{name}.json").read_text().splitlines()]
    answers = (folder / "possible_answer" / f"BFCL_v4_{name}.json").read_text().splitlines()
    wanted = {row["id"]: row["ground_truth"] for row in map(json.loads, answers)}
    tools: dict[str, ToolSpec] = {}
    requests = []
    for row in questions:
        for tool in row["function"]:
            spec = ToolSpec(
                name=tool["name"], description=tool.get("description", ""), parameters=tool["parameters"]
            )
            tools.setdefault(spec.name, spec)
        text = " ".join(said["content"] for said in row["question"][0] if said["role"] == "user")
        names = frozenset(name for calls in wanted.get(row["id"], ()) for name in calls)
        if names:
            requests.append((text, names))
    return tools, requests


async def recall(
    tools: dict[str, ToolSpec],
    requests: Sequence[tuple[str, frozenset[str]]],
    embedder: Embedder | None,
    size: int,
) -> float:
    """The mean share of the needed tools among the first ten, over pools of `size` tools."""
    rng = random.Random(0)  # a fixed seed: the same pools for every version
    shares = []
    for _ in range(POOLS):
        pool = set(rng.sample(sorted(tools), min(size, len(tools))))
        with tempfile.TemporaryDirectory() as folder:
            async with await SkillMemory.open(Path(folder, "skills.db"), embedder=embedder) as skills:
                await skills.add_tools([tools[name] for name in sorted(pool)])
                for text, names in requests:
                    if names <= pool:
                        found = {hit.name for hit in await skills.search(text, k=10)}
                        shares.append(len(names & found) / len(names))
    return statistics.fmean(shares)


async def search_ms(size: int) -> tuple[list[float], list[float]]:
    """Wall and processor time of 500 searches among so many tools of 40 words, a quarter of them used before; sorted.

    Words come by Zipf's law, so that some are in most of the tools, as `get` and `user` are.
    """
    rng = random.Random(1)

    def text(count: int) -> str:
        return " ".join(rng.choices(WORDS, SHARES, k=count))

    specs = [ToolSpec(name=f"tool_{number}", description=text(40), parameters={}) for number in range(size)]
    times, busy = [], []
    with tempfile.TemporaryDirectory() as folder:
        async with await SkillMemory.open(Path(folder, "skills.db"), embedder=StaticEmbedder()) as skills:
            await skills.add_tools(specs)
            for spec in specs[::4]:
                await skills._index_served(spec.name, _example(text(8)))  # noqa: SLF001  # 500 runs take a while
            for _ in range(500):
                request = text(12)
                start, cpu = time.perf_counter(), time.process_time()
                await skills.search(request)
                times.append((time.perf_counter() - start) * 1e3)
                busy.append((time.process_time() - cpu) * 1e3)
    return sorted(times), sorted(busy)


def _example(request: str):
    from agent_core.tools import ToolExample

    return ToolExample(utterance=request, arguments={})


async def measure() -> list[Figure]:
    """All figures."""
    figures = []
    if importlib.util.find_spec("bfcl_eval") is not None:
        for name in SETS:
            tools, requests = berkeley(name)
            with_words = await recall(tools, requests, None, 200)
            value = await recall(tools, requests, StaticEmbedder(), 200)
            peers = {"by words alone": round(with_words, 3)}
            figures.append(Figure(f"tools.{name}.200.recall_10", round(value, 4), "", ">= .85", peers))
    times, busy = await search_ms(2_000)
    load = {"load": f"{os.getloadavg()[0]:.1f}"}
    figures.append(Figure("tools.search_2000.p50", round(times[250], 2), "ms", "< 5", load))
    figures.append(Figure("tools.search_2000.p99", round(times[495], 2), "ms", "", load))
    figures.append(Figure("tools.search_2000.cpu.p99", round(busy[495], 2), "ms", "< 5"))
    return figures


if __name__ == "__main__":
    print_figures(asyncio.run(measure()))
