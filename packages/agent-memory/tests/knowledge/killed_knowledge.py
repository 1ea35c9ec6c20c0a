"""A process that fills a knowledge base until it is killed: `python killed_knowledge.py FOLDER TAG write|optimize|ingest`.

It prints a source as soon as it is committed, one a line.
"""

import asyncio
import sys
from pathlib import Path

from agent_memory import LanceKnowledgeBase
from agent_memory.knowledge.rows import Unit


def unit(source: str, text: str) -> Unit:
    return Unit(source=source, ordinal=0, digest="1", text=text, window=text, lead=text)


async def write(kb: LanceKnowledgeBase, tag: str, every: int) -> None:
    for number in range(100_000):
        names = [f"{tag}-{number}-{part}" for part in range(3)]
        await kb.write("general", [unit(name, f"Note {name} on pumps and valves.") for name in names])
        for name in names:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
        if every and number % every == every - 1:
            await kb.put_in_order("general")


async def ingest(kb: LanceKnowledgeBase, tag: str, folder: Path) -> None:
    for number in range(100_000):
        place = folder / f"{tag}-{number}"
        place.mkdir(parents=True)
        for part in range(5):
            (place / f"{part}.md").write_text(f"# Note {part}\n\nOn pumps and valves, {tag} {number}.\n")
        report = await kb.ingest(place)
        for name in report.added:
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()


async def main() -> None:
    folder, tag, what = sys.argv[1:]
    async with await LanceKnowledgeBase.open(Path(folder) / "kb", tenant="t") as kb:
        if what == "ingest":
            await ingest(kb, tag, Path(folder) / "docs")
        else:
            await write(kb, tag, every=4 if what == "optimize" else 0)


if __name__ == "__main__":
    asyncio.run(main())
