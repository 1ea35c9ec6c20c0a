"""All vectors of a domain made anew: in parts, by whoever goes on, and nothing is changed before the end."""

import asyncio
import importlib.util
import random
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from agent_core import Embeddings, KnowledgeUnavailableError
from agent_core.errors import ModelUnavailableError
from agent_memory import BUILT_IN, Field
from agent_memory.embedders import StaticEmbedder
from agent_memory.knowledge import reembedding
from agent_memory.knowledge.lance import LanceKnowledgeBase
from agent_memory.knowledge.rows import Unit

SCRIPT = Path(__file__).with_name("killed_reembedding.py")
_spec = importlib.util.spec_from_file_location("killed_reembedding", SCRIPT)
killed_reembedding = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(killed_reembedding)
Counted = killed_reembedding.Counted
OLD = StaticEmbedder()


def unit(number, words=10):
    text = f"Passage {number} on pumps. " + f"word{number} " * words
    return Unit(
        source=f"{number}.md", ordinal=0, digest="1", text=text, window=text, lead=f"passage {number}"
    )


def opened(folder, embedder=OLD):
    return LanceKnowledgeBase.open(folder, tenant="t", embedder=embedder)


async def filled(folder, count, words=10):
    async with await opened(folder) as kb:
        for start in range(0, count, 4_000):
            part = [unit(number, words) for number in range(start, min(start + 4_000, count))]
            await kb.write("general", part)


async def check_new(folder, count):
    """Every row is there once, with the vector of its own text."""
    async with await opened(folder, Counted()) as kb:
        for number in (0, count // 2, count - 1):
            (found,) = await kb.search(f"word{number}", k=1, domains=["general"])
            assert found.citation.source == f"{number}.md"
        table = kb._shelves["general"].table
        assert await table.count() == count
        assert await table.unindexed() == 0
        seen = 0
        async for part in table.batches(1_000):
            vectors = part["vector"].flatten().to_numpy().reshape(part.num_rows, -1)
            for text, lead, vector in zip(
                part["text"].to_pylist(), part["lead"].to_pylist(), vectors, strict=True
            ):
                both = np.frombuffer(killed_reembedding.vector(text), "<f4") + np.frombuffer(
                    killed_reembedding.vector(lead), "<f4"
                )
                assert np.allclose(vector, both / np.linalg.norm(both), atol=1e-6)
                seen += 1
        assert seen == count
        assert await kb._tables._all() == ["general"], "what was made so far is not kept for ever"


async def test_what_is_embedded_again_is_found_with_the_vectors_of_its_own_text(tmp_path, monkeypatch):
    monkeypatch.setattr(reembedding, "_A_COMMIT", 300)
    monkeypatch.setattr(reembedding, "_AT_ONCE", 100)
    await filled(tmp_path, 1_000)
    told = []
    async with await opened(tmp_path, Counted()) as kb:
        assert await kb.reembed("general", on_progress=lambda *far: told.append(far)) == 1_000
    assert told == [(300, 1_000), (600, 1_000), (900, 1_000), (1_000, 1_000)]
    await check_new(tmp_path, 1_000)


async def test_what_says_the_same_has_the_same_vector(tmp_path):
    async with await opened(tmp_path) as kb:
        await kb.write("general", [unit(1)])
        twin = unit(1)
        await kb.write(
            "general",
            [Unit(source="twin", ordinal=0, digest="1", text=twin.text, window="", lead=twin.lead)],
        )
    async with await opened(tmp_path, Counted()) as kb:
        assert await kb.reembed("general") == 2
        assert set(await kb.sources("general")) == {"1.md", "twin"}


async def test_a_domain_without_passages_can_be_embedded_again(tmp_path):
    async with await opened(tmp_path) as kb:
        await kb.write("general", [unit(1)])
        await kb.write("general", [], replaced=["1.md"])
    async with await opened(tmp_path, Counted()) as kb:
        assert await kb.reembed("general") == 0
        assert await kb.reembed("legal") == 0
        await kb.write("general", [unit(2)])
        assert await kb.sources("general") == {"2.md": "1"}


async def test_embedding_again_takes_the_memory_of_a_part_and_not_of_the_domain(tmp_path, monkeypatch):
    monkeypatch.setattr(reembedding, "_A_COMMIT", 500)
    monkeypatch.setattr(reembedding, "_AT_ONCE", 250)

    async def peak(rows):
        folder = tmp_path / str(rows)
        await filled(folder, rows, words=100)
        async with await opened(folder, Counted()) as kb:
            kb._embedder.asked = Nothing()
            pool = pa.default_memory_pool()
            before = pool.bytes_allocated()
            most = 0

            def look(*_):
                nonlocal most
                most = max(most, pool.bytes_allocated() - before)

            tracemalloc.start()
            await kb.reembed("general", on_progress=look)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found + most

    small, large = await peak(2_000), await peak(10_000)
    assert large < 1.5 * small


class Nothing(list):
    """A list that keeps nothing."""

    def __iadd__(self, _):
        return self


async def killed(folder, lines, pause_s):
    """Run the script, kill it after some progress; how far it was."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), str(folder)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(120):
        said = [(await process.stdout.readline()).decode() for _ in range(lines)]
        await asyncio.sleep(pause_s)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).decode()
        await process.wait()
    said += rest[: rest.rfind("\n") + 1].splitlines()
    return max((int(one) for one in said if one.strip()), default=0)


async def kill_and_go_on(folder, rounds):
    chance, count = random.Random(rounds), 20_000
    parts = -(-count // 8_192)
    for number in range(rounds):
        place = folder / str(number)
        await filled(place, count, words=2)
        lines = number % (
            parts + 1
        )  # before the first part is kept, between parts, and while all is put together
        made = await killed(place, lines, chance.random() * (0.3 if lines == parts else 0.05))
        embedder = Counted()
        async with await opened(place) as kb, await opened(place, embedder) as new:
            if (await new._tables.open("general")).recorded["embedder"] == OLD.name:
                (found,) = await kb.search("word17", k=1, domains=["general"])
                assert found.citation.source == "17.md", "searches find what there was"
                assert await new.reembed("general") == count
                assert len(embedder.asked) <= 2 * (count - made), "what was made is not made again"
        await check_new(place, count)


async def test_who_was_killed_goes_on_with_what_was_made(tmp_path):
    await kill_and_go_on(tmp_path, 2)


@pytest.mark.slow
async def test_who_was_killed_goes_on_with_what_was_made_in_twenty_rounds(tmp_path):
    await kill_and_go_on(tmp_path, 20)


async def test_writes_between_a_kill_and_the_next_try_are_embedded_too(tmp_path):
    await filled(tmp_path, 9_000, words=2)
    assert await killed(tmp_path, 1, 0.0) >= 8_192
    async with await opened(tmp_path) as kb:
        changed = Unit(source="5.md", ordinal=0, digest="1", text="Now on valves.", window="valves", lead="v")
        await kb.write("general", [changed], replaced=["5.md"])
        await kb.put_in_order("general")
    embedder = Counted()
    async with await opened(tmp_path, embedder) as kb:
        assert await kb.reembed("general") == 9_000
        assert "Now on valves." in embedder.asked, "a vector is of the text, and not of its place"
        assert len(embedder.asked) < 2 * 9_000


class Failing(Counted):
    """A fake: fails at a text."""

    async def embed(self, texts, *, purpose="document"):
        if any("Passage 9000 " in text for text in texts):
            raise ModelUnavailableError("fake", "it is gone")
        return await super().embed(texts, purpose=purpose)


async def test_an_embedder_that_fails_changes_nothing_and_what_it_made_is_kept(tmp_path):
    await filled(tmp_path, 10_000, words=2)
    async with await opened(tmp_path, Failing()) as kb:
        with pytest.raises(ModelUnavailableError):
            await kb.reembed("general")
    async with await opened(tmp_path) as kb:
        (found,) = await kb.search("word9000", k=1, domains=["general"])
        assert found.citation.source == "9000.md"
        assert await kb._tables.names() == ["general"]
        await kb.export(tmp_path / "export")
    embedder = Counted()
    async with await opened(tmp_path, embedder) as kb:
        assert await kb.reembed("general") == 10_000
    assert len(embedder.asked) <= 2 * (10_000 - 8_192)


async def test_what_is_forgotten_leaves_no_vector_of_an_embedding_that_did_not_end(tmp_path):
    await filled(tmp_path, 10_000, words=2)
    async with await opened(tmp_path, Failing()) as kb:
        with pytest.raises(ModelUnavailableError):
            await kb.reembed("general")
    needle = expected("Passage 3 on pumps. word3 word3 ", "passage 3")
    assert in_files(tmp_path, needle)
    async with await opened(tmp_path) as kb:
        await kb.forget("general", ["3.md"])
    assert in_files(tmp_path, needle) == []


def expected(text, lead):
    both = np.frombuffer(killed_reembedding.vector(text), "<f4") + np.frombuffer(
        killed_reembedding.vector(lead), "<f4"
    )
    return (both / np.linalg.norm(both[None], axis=1)).astype("<f4").tobytes()[:8]


def in_files(folder, needle):
    return [path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


@pytest.mark.parametrize("again", [True, False])
async def test_what_a_kill_left_undone_is_done_by_who_opens(tmp_path, again):
    """Killed behind the commit: indexes are missing, and what was made lies beside the table."""
    await filled(tmp_path, 100)
    async with await opened(tmp_path, Counted()) as kb:
        kb._tables.finish = nothing
        await kb.reembed("general")
        assert await kb._tables._all() == ["general", "general-again"]
        assert not await (await kb._tables.open("general")).is_indexed(kb.domains["general"])
    embedder = Counted()
    async with await opened(tmp_path, embedder) as kb:
        if again:
            assert await kb.reembed("general") == 100
            assert embedder.asked == []
        await kb.search("pumps", domains=["general"])
    await check_new(tmp_path, 100)


async def test_a_field_that_is_newer_than_the_table_hinders_nothing(tmp_path):
    await filled(tmp_path, 10)
    general = BUILT_IN["general"]
    domains = {"general": msgspec.structs.replace(general, fields=(*general.fields, Field(name="newer")))}
    async with await LanceKnowledgeBase.open(tmp_path, tenant="t", embedder=OLD, domains=domains) as kb:
        await kb.forget("general", ["3.md"])
        assert len(await kb.sources("general")) == 9
        told = msgspec.structs.replace(unit(11), metadata={"newer": "yes"})
        await kb.write("general", [told])
        assert await kb.reembed("general") == 10
        (found,) = await kb.search("pumps", filters={"newer": "yes"}, domains=["general"])
        assert found.citation.source == "11.md"
        await kb.write("general", [msgspec.structs.replace(unit(12), metadata={"newer": "yes"})])
        assert len(await kb.search("pumps", filters={"newer": "yes"}, domains=["general"])) == 2


async def nothing(*_):
    """As killed."""


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Wide:
    """A fake: vectors of many dimensions."""

    name = "fake:wide"
    dimensions = 256

    async def embed(self, texts, *, purpose="document"):
        return Embeddings(
            vectors=np.random.default_rng(0).random((len(texts), 256), "<f4").tobytes(), dimensions=256
        )


@pytest.mark.parametrize("free_mb", [3, 12, 22])
async def test_a_full_disk_changes_nothing_and_it_goes_on_when_there_is_room(small_disk, free_mb):
    await filled(small_disk, 10_000, words=2)
    used = sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * ((40 << 20) - used - (free_mb << 20)))
    async with await opened(small_disk, Wide()) as kb:
        with pytest.raises(KnowledgeUnavailableError, match=r"full|No space"):
            await kb.reembed("general")
        # All is as it was, or all vectors are new, and indexes are missing.
        recorded = (await kb._tables.open("general")).recorded["embedder"]
        async with await opened(small_disk, OLD if recorded == OLD.name else Wide()) as old:
            (found,) = await old.search("word9000", k=1, domains=["general"])
            assert found.citation.source == "9000.md"
        ballast.unlink()
        assert await kb.reembed("general") == 10_000
        (found,) = await kb.search("word9000", k=1, domains=["general"])
        assert found.citation.source == "9000.md"
