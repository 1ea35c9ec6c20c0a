"""A knowledge base on LanceDB: kept, found, filtered, erased, one tenant's."""

import asyncio
from urllib.parse import unquote

import msgspec
import numpy as np
import pytest

from agent_core import Between, Embeddings, KnowledgeUnavailableError
from agent_core.errors import ConfigurationError
from agent_memory.embedders import StaticEmbedder
from agent_memory.errors import EmbedderMismatchError, FilterValueError, UnknownDomainError, UnknownFieldError
from agent_memory.knowledge.lance import LanceKnowledgeBase
from agent_memory.knowledge.retrieval import RetrievalWeights
from agent_memory.knowledge.rows import Unit
from agent_memory.knowledge.tenants import tenant_address
from agent_memory.knowledge.versions import marked

EMBEDDER = StaticEmbedder()


def unit(source, text, ordinal=0, digest="1", **more):
    return Unit(source=source, ordinal=ordinal, digest=digest, text=text, window=text, lead=text[:40], **more)


@pytest.fixture
async def kb(tmp_path):
    async with await LanceKnowledgeBase.open(tmp_path, tenant="acme", embedder=EMBEDDER) as opened:
        yield opened


TEXTS = {
    "boats.md": "A sailing boat needs wind and a rudder.",
    "bread.md": "Bread is made of flour, water, salt and yeast.",
    "tax.md": "Income tax is due every year on the first of May.",
    "cats.md": "A kitten is a young cat and sleeps all day.",
}


async def filled(kb):
    await kb.write("general", [unit(source, text) for source, text in TEXTS.items()])
    return kb


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("what is bread made of", "bread.md"),
        ("rudder", "boats.md"),
        ("when do I pay taxes", "tax.md"),
        ("baby felines", "cats.md"),
    ],
)
async def test_what_was_written_is_found_by_word_and_by_meaning(kb, query, source):
    found = await (await filled(kb)).search(query, k=2)
    assert found[0].citation.source == source
    assert found[0].text == TEXTS[source]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        (["我昨天去北京看了长城。天气很好。", "苹果和香蕉是水果。", "火车晚点了两个小时。"], "北京的长城"),
        (["昨日、東京で寿司を食べました。", "電車が遅れました。", "猫は庭にいます。"], "寿司"),
        (["เมื่อวานฉันกินข้าวผัดที่ตลาด", "รถไฟมาสาย", "แมวอยู่ในสวน"], "ข้าวผัด"),
    ],
)
async def test_words_are_found_where_no_spaces_part_them(kb, texts, query):
    await kb.write("general", [unit(f"{number}.md", text) for number, text in enumerate(texts)])
    await kb.put_in_order("general")
    table = (await kb._shelf(kb.domains["general"])).table
    assert len(await table.full_text("window", query, "", 10)) == 1
    assert (await kb.search(query, k=1))[0].citation.source == "0.md"


@pytest.mark.parametrize("query", ["", "   ", "?!", "'", '"', "a AND (b", "\u0000", "*", "🦜", "x" * 5_000])
async def test_any_query_can_be_asked(kb, query):
    await filled(kb)
    assert len(await kb.search(query, k=3)) <= 3


async def test_a_query_with_a_pasted_document_is_asked_by_its_ends(kb):
    await filled(kb)
    pasted = " ".join(f"word{number}" for number in range(100_000))
    for query in (f"what is bread made of? {pasted}", f"{pasted} what is bread made of?"):
        assert (await kb.search(query, k=1, domains=["general"]))[0].citation.source == "bread.md"


async def test_an_empty_knowledge_base_knows_nothing(kb):
    assert await kb.search("anything") == []
    assert await kb.search("anything", domains=["legal"]) == []
    assert await kb.sources("legal") == {}


async def test_what_another_opens_is_there_and_up_to_date(kb, tmp_path):
    await filled(kb)
    async with await LanceKnowledgeBase.open(tmp_path, tenant="acme", embedder=EMBEDDER) as other:
        assert (await other.search("kitten", k=1))[0].citation.source == "cats.md"
        await kb.write("general", [unit("dogs.md", "A puppy barks.")])
        await asyncio.sleep(1.1)  # what another process wrote is seen after a second
        assert (await other.search("puppy", k=1))[0].citation.source == "dogs.md"


async def test_a_source_is_replaced_whole_in_one_commit(kb):
    await filled(kb)
    await kb.write("general", [unit("tax.md", "Cars are parked below.", digest="2")], replaced=["tax.md"])
    assert await kb.sources("general") == {"boats.md": "1", "bread.md": "1", "cats.md": "1", "tax.md": "2"}
    found = await kb.search("income tax in May", k=10)
    assert "Income" not in " ".join(one.text for one in found)
    await kb.write("general", [], replaced=["tax.md"])
    assert "tax.md" not in await kb.sources("general")


async def test_what_is_written_at_once_shares_commits(kb):
    shelf_writes = [
        kb.write("general", [unit(f"{number}.md", f"Note number {number}.")]) for number in range(60)
    ]
    await asyncio.gather(*shelf_writes)
    shelf = kb._shelves["general"]
    assert len(await kb.sources("general")) == 60
    assert await shelf.table.version() < 60


async def test_order_changes_no_answer(kb):
    await filled(kb)
    before = [one.citation.source for one in await kb.search("salt water wind", k=4)]
    await kb.put_in_order("general")
    assert [one.citation.source for one in await kb.search("salt water wind", k=4)] == before
    assert await kb._shelves["general"].table.unindexed() == 0


async def test_filters_hold(kb):
    await kb.write(
        "science",
        [
            unit(
                f"{number}.md",
                f"The paper on enzymes, number {number}.",
                metadata={"year": 2_000 + number, "author": name},
            )
            for number, name in enumerate(["Ada", "Bo", "Ada", "O'Hara"] * 10)
        ],
    )
    found = await kb.search("enzymes", k=50, filters={"author": "Ada", "year": Between(at_least=2_010)})
    assert {one.metadata["author"] for one in found} == {"Ada"}
    assert len(found) == 15
    assert len(await kb.search("enzymes", k=50, filters={"author": "O'Hara"})) == 10
    assert await kb.search("enzymes", filters={"author": "' OR true --"}) == []
    assert len(await kb.search("enzymes", k=50, filters={"year": [2_000, 2_001]})) == 2
    with pytest.raises(FilterValueError):
        await kb.search("enzymes", filters={"year": "2000"})
    with pytest.raises(UnknownFieldError, match="'colour'"):
        await kb.search("enzymes", filters={"colour": "red"})


async def test_a_query_is_led_to_its_domain(kb):
    await kb.write(
        "medical", [unit("flu.md", "Influenza: fever and cough are symptoms; rest is the treatment.")]
    )
    await kb.write("code", [unit("a.py", "def parse_json(text): return json.loads(text)")])
    await kb.write("legal", [unit("c.md", "The tenant shall give notice of termination to the landlord.")])
    await kb.write("finance", [unit("r.md", "Revenue grew and the balance sheet shows a profit.")])
    for query, domain in (
        ("what are the symptoms of influenza", "medical"),
        ("function that parses json", "code"),
        ("can the landlord terminate without notice", "legal"),
        ("how much profit", "finance"),
    ):
        assert (await kb.search(query, k=1))[0].domain == domain
    assert {one.domain for one in await kb.search("profit", domains=["code"])} == {"code"}
    with pytest.raises(UnknownDomainError, match="'cooking'"):
        await kb.search("profit", domains=["cooking"])


async def test_units_alone_are_indexed_when_they_count(tmp_path):
    async with await LanceKnowledgeBase.open(tmp_path, tenant="t", embedder=EMBEDDER) as kb:
        await filled(kb)
        names = {index.name for index in await kb._shelves["general"].table._table.list_indices()}
        assert {"window_idx", "lead_idx", "source_idx", "m_topic_idx"} <= names
        assert "text_idx" not in names
    only_units = RetrievalWeights(window=0, lead=0, dense=0, unit=1)
    async with await LanceKnowledgeBase.open(
        tmp_path, tenant="t", embedder=EMBEDDER, weights=only_units
    ) as kb:
        assert [one.citation.source for one in await kb.search("rudder")] == ["boats.md"]
        await kb.put_in_order("general")
        await kb.forget("general", ["boats.md"])
        assert await kb.search("rudder") == []


class Backwards:
    """A fake: the longer, the better."""

    async def rerank(self, query, passages):
        return [float(len(one.text)) for one in passages]


async def test_a_reranker_has_the_last_word(tmp_path):
    async with await LanceKnowledgeBase.open(
        tmp_path, tenant="t", embedder=EMBEDDER, reranker=Backwards()
    ) as kb:
        await filled(kb)
        found = await kb.search("boat", k=4)
        assert [len(one.text) for one in found] == sorted((len(one.text) for one in found), reverse=True)


class Other:
    """A fake: another embedder."""

    name = "fake:other"
    dimensions = 4

    async def embed(self, texts, *, purpose="document"):
        return Embeddings(vectors=np.ones((len(texts), 4), "<f4").tobytes(), dimensions=4)


async def test_vectors_of_another_embedder_are_refused_with_the_remedy(kb, tmp_path):
    await filled(kb)
    async with await LanceKnowledgeBase.open(tmp_path, tenant="acme", embedder=Other()) as other:
        with pytest.raises(EmbedderMismatchError, match=r"static:minilm-256-1 \(256\).*reembed"):
            await other.search("boat", domains=["general"])
        with pytest.raises(EmbedderMismatchError):
            await other.write("general", [unit("x", "y")])


async def test_what_is_written_while_all_is_embedded_again_is_there_after(kb):
    await filled(kb)
    before = len(await kb.sources("general"))
    names = [f"late{number}" for number in range(8)]
    counted, *_ = await asyncio.gather(
        kb.reembed("general"), *(kb.write("general", [unit(name, f"a late word {name}")]) for name in names)
    )
    assert counted >= before
    assert set(names) <= set(await kb.sources("general"))
    (found,) = await kb.search("late3", k=1, domains=["general"])
    assert found.citation.source == "late3"


async def test_writes_wait_while_a_domain_is_rolled_back(kb):
    await filled(kb)
    first = await marked(kb._shelves["general"].table)
    await kb.write("general", [unit("gone", "This will be undone.")])
    names = [f"late{number}" for number in range(8)]
    for _ in range(3):
        writes = [kb.write("general", [unit(name, f"a late word {name}")]) for name in names]
        await asyncio.gather(kb.roll_back("general", first), *writes)
    await kb.write("general", [unit("last", "And this is kept.")])
    there = set(await kb.sources("general"))
    assert "last" in there
    assert "gone" not in there


TENANTS = ["acme", "acme2", "ACME", "a/b", "a", "..", ".", "a%2Fb", "acme.", "ümlaut", "a b", "~", "s3://x"]


async def test_tenants_do_not_meet(tmp_path):
    for number, tenant in enumerate(TENANTS):
        async with await LanceKnowledgeBase.open(tmp_path, tenant=tenant, embedder=EMBEDDER) as kb:
            await kb.write("general", [unit(f"{number}.md", f"The secret word is password{number}.")])
    for number, tenant in enumerate(TENANTS):
        async with await LanceKnowledgeBase.open(tmp_path, tenant=tenant, embedder=EMBEDDER) as kb:
            found = await kb.search("secret word password", k=50)
            assert [one.citation.source for one in found] == [f"{number}.md"]
    assert {path.parent for path in tmp_path.iterdir()} == {tmp_path}
    assert len(list(tmp_path.iterdir())) == len(TENANTS)


@pytest.mark.parametrize("tenant", ["", "x" * 500])
def test_a_tenant_has_a_name(tenant):
    with pytest.raises(ConfigurationError, match="name of a tenant"):
        tenant_address("/tmp", tenant)


@pytest.mark.parametrize("where", ["/data", "s3://bucket/data"])
def test_the_places_of_tenants_do_not_lie_in_one_another(where):
    names = ["a", "a/b", "a%2Fb", "a=2Fb", "..", ".", "%2E", "a/../b", "A", "ä"]
    places = [tenant_address(where, name) for name in names]
    read = [
        unquote(place) if "://" in where else place for place in places
    ]  # as object_store reads an address
    assert len(set(read)) == len(names)
    assert all(place.startswith(f"{where}/") and "/" not in place[len(where) + 1 :] for place in read)
    assert not any(place.endswith("/.") or ".." in place for place in read)


async def test_a_place_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "acme").write_text("a file")
    with pytest.raises((KnowledgeUnavailableError, OSError)):
        await LanceKnowledgeBase.open(tmp_path, tenant="acme", embedder=EMBEDDER)


async def test_any_text_can_be_kept(kb):
    texts = ["\ud800 half a pair", "nul \u0000 inside", "", "🦜 parrots", "'; DROP TABLE x; --", "א ב"]
    await kb.write("general", [unit(f"it's {number}", text) for number, text in enumerate(texts)])
    assert len(await kb.sources("general")) == len(texts)
    assert (await kb.search("parrots", k=1))[0].text == "🦜 parrots"


def in_files(folder, needle):
    return [path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def test_what_is_forgotten_is_in_no_file(kb, tmp_path):
    await filled(kb)
    secret = unit(
        "secret.md", "The vault opens with xylophonic7391 and nothing else.", metadata={"topic": "zugzwang55"}
    )
    await kb.write("general", [secret, *(unit(f"{n}.md", f"Something else {n}.") for n in range(50))])
    await kb.put_in_order("general")
    secret = msgspec.structs.replace(secret, digest="2")
    await kb.write("general", [secret], replaced=["secret.md"])
    await kb.put_in_order("general")
    assert in_files(tmp_path, b"xylophonic7391")
    await kb.forget("general", ["secret.md"])
    assert in_files(tmp_path, b"xylophonic7391") == []
    assert in_files(tmp_path, b"zugzwang55") == []
    assert in_files(tmp_path, b"secret.md") == []
    assert await kb.search("xylophonic7391", k=1) != []
    assert (await kb.search("rudder", k=1))[0].citation.source == "boats.md"
