"""`kill -9` while writing, while ingesting and while putting in order: what was acknowledged is there, and it opens."""

import asyncio
import contextlib
import random
import signal
import sys
from pathlib import Path

import pytest

from agent_memory.embedders import StaticEmbedder
from agent_memory.knowledge.lance import LanceKnowledgeBase

SCRIPT = Path(__file__).with_name("killed_knowledge.py")


async def killed(folder, tag, what, acknowledged, chance):
    """Run the script, let it acknowledge some sources, kill it; everything that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), str(folder), tag, what), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(300):
        said = [(await process.stdout.readline()).decode().strip() for _ in range(acknowledged)]
        await asyncio.sleep(chance.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).decode()
        await process.wait()
    assert process.returncode == -signal.SIGKILL
    # The last line may be cut off in the middle: it was not acknowledged.
    said += rest[: rest.rfind("\n") + 1].split()
    return {name for name in said if name}


async def rounds(folder, what, count):
    chance, kept = random.Random(count), set()
    embedder = StaticEmbedder()
    for number in range(count):
        kept |= await killed(folder, f"r{number}", what, chance.randint(3, 12), chance)
        async with await LanceKnowledgeBase.open(folder / "kb", tenant="t", embedder=embedder) as kb:
            sources = await kb.sources("general")
            assert kept - set(sources) == set(), "acknowledged and lost"
            found = await kb.search("pumps and valves", k=5)
            assert len(found) == 5
            with contextlib.suppress(StopIteration):
                one = next(iter(sorted(kept)))
                assert await kb.search("valves", k=1, filters={"source": one})
    async with await LanceKnowledgeBase.open(folder / "kb", tenant="t", embedder=embedder) as kb:
        await kb.put_in_order("general")
        assert kept <= set(await kb.sources("general"))
        rows = await kb._shelves["general"].table.count()
        assert rows == len(await kb.sources("general")), "no row twice"


@pytest.mark.parametrize("what", ["write", "optimize", "ingest"])
async def test_nothing_acknowledged_is_lost(tmp_path, what):
    await rounds(tmp_path, what, 1)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["optimize", "ingest"])
async def test_nothing_acknowledged_is_lost_in_twenty_rounds(tmp_path, what):
    await rounds(tmp_path, what, 20)


@pytest.mark.slow
async def test_what_is_forgotten_is_in_no_file_twenty_times(tmp_path):
    embedder = StaticEmbedder()
    async with await LanceKnowledgeBase.open(tmp_path, tenant="t", embedder=embedder) as kb:
        chance = random.Random(3)
        for number in range(20):
            word = f"xylo{chance.getrandbits(64):x}"
            docs = tmp_path / "docs"
            docs.mkdir(exist_ok=True)
            for part in range(5):
                (docs / f"{number}-{part}.md").write_text(
                    f"# Note {part}\n\nOn {word if part == 2 else 'pumps'}.\n"
                )
            await kb.ingest(docs)
            secret = docs / f"{number}-2.md"
            secret.unlink()
            await kb.forget("general", [str(secret)])
            left = [
                path for path in tmp_path.rglob("*") if path.is_file() and word.encode() in path.read_bytes()
            ]
            assert left == []
