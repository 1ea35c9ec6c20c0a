"""Knowledge bases as files that anything reads, and back."""

import base64
import json
import tracemalloc
from itertools import chain

import msgspec
import numpy as np
import pyarrow.parquet
import pytest

from agent_memory import (
    BUILT_IN,
    Domain,
    EmbedderMismatchError,
    Field,
    ImportFormatError,
    LanceKnowledgeBase,
    UnknownDomainError,
)
from agent_memory.embedders import StaticEmbedder
from agent_memory.knowledge.rows import Unit

EMBEDDER = StaticEmbedder()
RECIPES = Domain(
    name="recipes", description="Cooking.", fields=(Field(name="minutes", kind="number"), Field(name="cook"))
)
DOMAINS = {**BUILT_IN, "recipes": RECIPES}
QUESTIONS = ("what is bread made of", "rudder", "salt", "felines", "passage 77")


def unit(source, text, **more):
    return Unit(source=source, ordinal=0, digest="1", text=text, window=text, lead=text[:40], **more)


async def opened(folder, tenant="acme", domains=DOMAINS):
    return await LanceKnowledgeBase.open(folder, tenant=tenant, embedder=EMBEDDER, domains=domains)


async def fill(kb):
    await kb.write("general", [unit("a/böats.md", 'A sailing boat "needs" wind\nand a rudder.', page=3)])
    await kb.write("general", [unit("cats.md", "A kitten is a young cat and sleeps all day.")])
    await kb.write("general", [unit(f"{number}.md", f"This is passage {number}.") for number in range(200)])
    metadata = {"minutes": 90, "cook": "Ana", "unlisted": True}
    await kb.write("recipes", [unit("bread.md", "Bread: flour, water, salt.", metadata=metadata)])


async def answers(kb):
    """Everything that a search gives, scores and citations too."""
    return [
        [
            *await kb.search(question, k=20, domains=["general", "recipes"]),
            *await kb.search(question, domains=["recipes"], filters={"minutes": 90}),
        ]
        for question in QUESTIONS
    ]


@pytest.fixture
async def folder(tmp_path, form):
    async with await opened(tmp_path / "from") as kb:
        await fill(kb)
        await kb.put_in_order("general")
        await kb.export(tmp_path / "export", form=form)
    return tmp_path / "export"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_what_is_restored_gives_the_same_hits(tmp_path, folder):
    async with await opened(tmp_path / "from") as kb:
        before = await answers(kb)
        assert sum(map(len, before)) > 40
        assert await kb.sources("recipes") == {"bread.md": "1"}
    async with await opened(tmp_path / "to", tenant="other") as kb:
        assert await kb.search("bread") == []
        assert await kb.restore(folder) == 203
        after = await answers(kb)
        assert [[one.text for one in some] for some in after] == [
            [one.text for one in some] for some in before
        ]
        for old, new in zip(chain(*before), chain(*after), strict=True):
            assert msgspec.structs.replace(new, score=old.score) == old
            assert new.score == pytest.approx(old.score, abs=1e-4)
        (version,) = await kb.versions("general")
        await kb.write("general", [unit("dogs.md", "A puppy barks.")])
        await kb.roll_back("general", version.name)
        assert "dogs.md" not in await kb.sources("general")


@pytest.mark.parametrize("form", ["parquet"])
async def test_a_parquet_file_holds_passages_and_their_vectors(folder):
    table = pyarrow.parquet.read_table(folder / "knowledge.recipes.parquet")
    assert table["text"].to_pylist() == ["Bread: flour, water, salt."]
    assert table["m_minutes"].to_pylist() == [90.0]
    assert len(table["vector"].to_pylist()[0]) == EMBEDDER.dimensions


@pytest.mark.parametrize("form", ["jsonl"])
async def test_a_line_of_json_holds_a_passage_and_its_vector(folder):
    (line,) = (folder / "knowledge.recipes.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert row["source"] == "bread.md"
    assert np.frombuffer(base64.b64decode(row["vector"]), "<f4").shape == (EMBEDDER.dimensions,)


@pytest.mark.parametrize("form", ["jsonl"])
async def test_the_manifest_has_the_settings_of_a_domain_and_its_newest_version(tmp_path, folder):
    async with await opened(tmp_path / "from") as kb:
        (tmp_path / "note.md").write_text("# A note\n\nOf something.\n")
        report = await kb.ingest(tmp_path / "note.md", domain="recipes")
        manifest = await kb.export(folder)
    told = {one.domain.name: one for one in manifest.knowledge}
    assert told["recipes"].domain == RECIPES
    assert told["recipes"].version == report.version
    assert told["general"].version == ""
    assert {name: one.rows for name, one in told.items()} == {"general": 202, "recipes": 2}
    assert manifest.rows == {"knowledge.general": 202, "knowledge.recipes": 2}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_what_is_there_already_is_not_written_over(tmp_path, folder):
    async with await opened(tmp_path / "from") as kb:
        before = await answers(kb)
        with pytest.raises(ImportFormatError, match="202 passages in 'general' already"):
            await kb.restore(folder)
        assert await answers(kb) == before


@pytest.mark.parametrize(
    ("form", "name", "change", "reason"),
    [
        ("jsonl", "knowledge.recipes.jsonl", lambda _: b"{]\n", "line 1"),
        ("jsonl", "knowledge.recipes.jsonl", lambda _: b'{"key":1}\n', "the fields"),
        (
            "jsonl",
            "knowledge.recipes.jsonl",
            lambda told: told.replace(b'"vector":"', b'"vector":"?'),
            "base64",
        ),
        (
            "jsonl",
            "knowledge.recipes.jsonl",
            lambda told: told.replace(b'"vector":"', b'"vector":"' + b"A" * 16),
            "fit",
        ),
        (
            "jsonl",
            "knowledge.recipes.jsonl",
            lambda told: told.replace(b'"ordinal":0', b'"ordinal":"x"'),
            "fit",
        ),
        ("jsonl", "knowledge.recipes.jsonl", lambda told: told + told, "2 rows, and should have 1"),
        ("jsonl", "knowledge.recipes.jsonl", lambda _: b"", "0 rows, and should have 1"),
        (
            "jsonl",
            "manifest.json",
            lambda told: told.replace(b'"format": "1"', b'"format": "9"'),
            "of form 9",
        ),
        ("jsonl", "manifest.json", lambda told: told.replace(b'"version": 2', b'"version": 3'), "upgrade"),
        ("parquet", "knowledge.recipes.parquet", lambda told: told[:-9], "Parquet"),
        ("parquet", "knowledge.recipes.parquet", lambda _: None, "missing"),
    ],
)
async def test_a_damaged_export_is_refused_and_leaves_nothing(tmp_path, folder, name, change, reason):
    told = change((folder / name).read_bytes())
    (folder / name).unlink()
    if told is not None:
        (folder / name).write_bytes(told)
    async with await opened(tmp_path / "to") as kb:
        with pytest.raises(ImportFormatError, match=reason):
            await kb.restore(folder)
        assert await kb.search("bread", domains=["general", "recipes"]) == []


@pytest.mark.parametrize("form", ["jsonl"])
async def test_a_domain_that_is_not_known_is_named_whichever_way_it_goes(tmp_path, folder):
    async with await opened(tmp_path / "to", domains=BUILT_IN) as kb:
        with pytest.raises(ImportFormatError, match="no domain 'recipes' here"):
            await kb.restore(folder)
    async with await opened(tmp_path / "from", domains=BUILT_IN) as kb:
        with pytest.raises(UnknownDomainError, match="recipes"):
            await kb.export(tmp_path / "again")


class Other(StaticEmbedder):
    """The same numbers by another name."""

    name = "other"


@pytest.mark.parametrize("form", ["jsonl"])
async def test_vectors_of_another_embedder_are_restored_and_can_be_made_anew(tmp_path, folder):
    kb = await LanceKnowledgeBase.open(tmp_path / "to", tenant="acme", embedder=Other(), domains=DOMAINS)
    async with kb:
        await kb.restore(folder)
        with pytest.raises(EmbedderMismatchError, match="reembed"):
            await kb.search("bread", domains=["recipes"])
        assert await kb.reembed("recipes") == 1
        assert (await kb.search("bread", domains=["recipes"]))[0].citation.source == "bread.md"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_memory_does_not_grow_with_what_is_exported(tmp_path, form):
    async def peak(rows):
        async with await opened(tmp_path / str(rows)) as kb:
            await kb.write(
                "general", [unit(f"{row}", f"passage {row} " + "word " * 100) for row in range(rows)]
            )
            tracemalloc.start()
            await kb.export(tmp_path / f"export{rows}", form=form)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

    small, large = await peak(5_000), await peak(20_000)
    assert large < 1.5 * small
