# a test may wait for its own small files
import asyncio
import math
import shutil
import tempfile
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_core.errors import ConfigurationError
from agent_core.messages import user
from agent_core.testing.conformance.memory import outcome
from agent_core.tools import ToolSpec
from agent_memory import (
    Fact,
    Filter,
    ImportFormatError,
    SessionMemory,
    SqliteJournal,
    TenantMemory,
    Tenants,
    domains_from,
)
from agent_memory.knowledge.rows import Unit
from agent_memory.table_files import Format, read

NAMES = ("acme", "acme2", "../acme", "acme/", "ACME", "", "a b", "%61cme", "b" * 80)


@pytest.fixture
def tenants(tmp_path: Path) -> Tenants:
    return Tenants(tmp_path / "all")


async def fill(tenant: TenantMemory, secret: str, count: int = 3) -> None:
    """The same words for every tenant, but for its own secret."""
    memory = tenant.long_term
    for number in range(count):
        row_id = await memory.add(
            f"the code number {number} is {secret}", session_id="s", speaker="Ana", said_at=float(number)
        )
        assert row_id is not None
        await memory.state(
            Fact(subject="Ana", predicate="code", object=secret, valid_from=float(number), sources=(row_id,))
        )
    await memory.set("code", secret)
    await memory.record(outcome(1, "t", f"what is my code? {secret}"))
    await tenant.skills.add_tools(
        [ToolSpec(name=f"tool_{secret}", description="Tells the code", parameters={})]
    )
    await tenant.skills.learn(outcome(1, "t", f"code {secret}", tool=True), verified=True)


async def know(tenant: TenantMemory, secret: str) -> None:
    """A passage in a knowledge base, of the same source for every tenant."""
    told = f"The code of the vault is {secret}."
    passage = Unit(source="code.md", ordinal=0, digest="1", text=told, window=told, lead=told)
    await (await tenant.knowledge()).write("general", [passage])


async def all_that_is_heard(
    tenant: TenantMemory, question: str, ids: list[int], only: Filter, to: Path
) -> str:
    """Whatever a tenant can get at, by question, filter, guessed ids, keys and export."""
    memory, skills, knowledge = tenant.long_term, tenant.skills, await tenant.knowledge()
    heard: list[object] = [
        await knowledge.search(question, k=100),
        await knowledge.search(
            "what is the code of the vault?", k=100, filters={"source": ["code.md", question]}
        ),
        await knowledge.sources("general"),
        [hit.text for hit in await memory.search(question, k=100, only=only)],
        [hit.text for hit in await memory.search(question, k=100)],
        [hit.text for hit in await memory.search_facts(question, k=100)],
        [one.text for one in await memory.by_id(ids)],
        [one.text async for one in memory.episodes(only)],
        await memory.facts(),
        await memory.facts(known_at=math.inf),
        await memory.values(),
        await memory.outcomes(),
        await skills.search(question, k=100),
        await skills.all_patterns(),
        await skills.lessons(),
        await skills.statistics(),
        skills.shots("look_up", question, k=100),
    ]
    for form in ("jsonl", "parquet"):
        await tenant.export(to / form, form=form)  # type: ignore[arg-type]
        for file in (to / form).iterdir():
            packed = file.suffix == ".parquet"
            heard.append(str(pq.read_table(file).to_pylist() if packed else file.read_bytes()))
    return msgspec.json.encode(heard).decode()


filters = st.builds(
    Filter,
    session_id=st.sampled_from([None, "s", "t", ""]),
    speaker=st.sampled_from([None, "Ana", "user", "' OR 1=1 --"]),
    since=st.sampled_from([None, 0.0, -math.inf]),
    until=st.sampled_from([None, math.inf]),
)
questions = (
    st.sampled_from(["what is the code?", "code OR secret*", '"', "tell me all", "yellow"]) | st.text()
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True),
    question=questions,
    only=filters,
    ids=st.lists(st.integers(-1, 50), max_size=20),
)
def test_nothing_of_one_tenant_reaches_another(
    names: list[str], question: str, only: Filter, ids: list[int]
) -> None:
    async def scenario(root: Path) -> None:
        tenants = Tenants(root / "all")
        secrets = {name: f"secret{number}xyz" for number, name in enumerate(n for n in names if n)}
        for name, secret in secrets.items():
            async with await tenants.open(name) as tenant:
                await fill(tenant, secret)
                await know(tenant, secret)
        for name, own in secrets.items():
            others = [secret for secret in secrets.values() if secret != own]
            async with await tenants.open(name) as tenant:
                heard = await all_that_is_heard(tenant, question, ids, only, root / f"export {own}")
                assert heard.count(own) > heard.count("vault") > 3
                assert not any(secret in heard for secret in others)
                assert tenant.folder.parent == tenants.root
            files = [file.read_bytes() for file in tenants.folder(name).rglob("*") if file.is_file()]
            assert not any(secret.encode() in content for secret in others for content in files)
        assert await tenants.names() == sorted(secrets)

    root = Path(tempfile.mkdtemp())
    try:
        asyncio.run(scenario(root))
    finally:
        shutil.rmtree(root)


async def test_there_is_no_memory_without_a_tenant(tenants: Tenants) -> None:
    assert await tenants.names() == []
    for name in ("", "x" * 300):
        with pytest.raises(ConfigurationError):
            await tenants.open(name)
    assert not tenants.root.exists()


async def test_an_erased_tenant_is_gone_and_the_others_are_not(tenants: Tenants) -> None:
    for name in ("one", "two"):
        async with await tenants.open(name) as tenant:
            await fill(tenant, f"secret{name}")
    assert await tenants.erase("one")
    assert not await tenants.erase("one")
    assert await tenants.names() == ["two"]
    files = [file.read_bytes() for file in tenants.root.rglob("*") if file.is_file()]
    assert not any(b"secretone" in content for content in files)
    async with await tenants.open("two") as tenant:
        assert tenant.long_term.get("code", str) == "secrettwo"


async def test_folders_and_files_are_the_owners_alone(tenants: Tenants) -> None:
    async with await tenants.open("one") as tenant:
        await fill(tenant, "x")
        assert tenant.folder.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in tenant.folder.iterdir()} == {0o600}


# ── export ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def exported(tenants: Tenants, tmp_path: Path, form: Format) -> Path:
    async with (
        await tenants.open("from") as tenant,
        await SqliteJournal.open(tmp_path / "runs.db") as journal,
    ):
        await fill(tenant, "xyz", count=30)
        await know(tenant, "xyz")
        await tenant.long_term.retract((await tenant.long_term.facts())[-1].id)
        await SessionMemory(journal, model="m", pins=tenant.long_term).pin("s", user("my name is Ana"))
        await tenant.export(tmp_path / "export", form=form)
    return tmp_path / "export"


async def everything(tenant: TenantMemory) -> list[object]:
    memory, skills = tenant.long_term, tenant.skills
    return [
        [one async for one in memory.episodes()],
        await memory.facts(),
        await memory.facts(known_at=1.0),
        await memory.values(),
        await memory.outcomes(),
        [hit.item for hit in await memory.search("what is code number 7?", now=0.0)],
        [hit.item for hit in await memory.search_facts("code of Ana")],
        [hit.name for hit in await skills.search("code")],
        await skills.all_patterns(),
        await skills.statistics(),
        skills.shots("look_up", "code"),
        await (await tenant.knowledge()).search("the vault"),
    ]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_what_is_exported_is_all_there_once_it_is_restored(tenants: Tenants, exported: Path) -> None:
    rows = await tenants.restore("to", exported)
    assert rows > 60
    async with await tenants.open("from") as before, await tenants.open("to") as after:
        assert await everything(after) == await everything(before)
        row_id = await after.long_term.add("and on it goes", session_id="s")
        assert row_id is not None
        assert await before.long_term.by_id([row_id]) == []
    with pytest.raises(ImportFormatError, match="already"):
        await tenants.restore("to", exported)


@pytest.mark.parametrize("form", ["jsonl"])
@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("manifest.json", b"{", "cannot be read"),
        ("manifest.json", b'{"version":99,"format":"jsonl","rows":{}}', "version 99"),
        ("memory.episodes.jsonl", None, "files are missing: memory.episodes"),
        ("memory.episodes.jsonl", b'{"id":1}\n', "the fields"),
        ("memory.facts.jsonl", b"{]\n", "line 1"),
        ("memory.facts.jsonl", b"", "0 rows, and should have"),
        ("memory.entries.jsonl", b'{"key":null,"value":"1","updated_at":0}\n', "does not fit"),
        ("knowledge.general.jsonl", b"{]\n", "line 1"),
    ],
)
async def test_a_broken_export_is_refused_whole(
    tenants: Tenants, exported: Path, file: str, content: bytes | None, reason: str
) -> None:
    if content is None:
        (exported / file).unlink()
    else:
        (exported / file).write_bytes(content)
    with pytest.raises(ImportFormatError, match=reason):
        await tenants.restore("to", exported)
    assert "to" not in await tenants.names()
    async with await tenants.open("to") as tenant:
        assert [one async for one in tenant.long_term.episodes()] == []


@pytest.mark.parametrize("form", ["jsonl"])
async def test_a_broken_export_leaves_nothing_in_a_tenant_that_was_there(
    tenants: Tenants, exported: Path
) -> None:
    whole = (exported / "memory.facts.jsonl").read_bytes()
    (exported / "memory.facts.jsonl").write_bytes(whole + b"{]\n")
    async with await tenants.open("to"):
        pass
    with pytest.raises(ImportFormatError):
        await tenants.restore("to", exported, knowledge=False)
    async with await tenants.open("to") as tenant:
        assert (await tenant.skills.statistics(), await tenant.skills.all_patterns()) == ([], [])
        assert await tenant.skills.search("code") == []
    (exported / "memory.facts.jsonl").write_bytes(whole)
    assert await tenants.restore("to", exported, knowledge=False) > 5


@pytest.mark.parametrize("form", ["jsonl"])
async def test_what_was_learned_stays_where_an_export_without_it_is_refused(
    tenants: Tenants, exported: Path
) -> None:
    path = exported / "manifest.json"
    told = msgspec.json.decode(path.read_bytes())
    told["rows"] = {name: rows for name, rows in told["rows"].items() if not name.startswith("skills.")}
    path.write_bytes(msgspec.json.encode(told))
    async with await tenants.open("from") as tenant:
        before = await tenant.skills.all_patterns()
    with pytest.raises(ImportFormatError, match="already"):
        await tenants.restore("from", exported, knowledge=False)
    async with await tenants.open("from") as tenant:
        assert await tenant.skills.all_patterns() == before != []


async def test_an_export_from_before_knowledge_bases_is_still_restored(
    tenants: Tenants, tmp_path: Path
) -> None:
    async with await tenants.open("from") as tenant:
        await fill(tenant, "xyz")
        await tenant.export(tmp_path / "export")
    path = tmp_path / "export" / "manifest.json"
    told = msgspec.json.decode(path.read_bytes())
    assert told.pop("knowledge") == []
    path.write_bytes(msgspec.json.encode({**told, "version": 1}))
    assert await tenants.restore("to", tmp_path / "export") > 5


async def test_knowledge_of_a_domain_of_its_own_goes_with_its_tenant(tmp_path: Path) -> None:
    tenants = Tenants(
        tmp_path / "all", domains=domains_from([{"name": "recipes", "description": "Cooking."}])
    )
    async with await tenants.open("from") as tenant:
        told = "Bread is made of flour."
        passage = Unit(source="bread.md", ordinal=0, digest="1", text=told, window=told, lead=told)
        await (await tenant.knowledge()).write("recipes", [passage])
        await tenant.export(tmp_path / "export")
    await tenants.restore("to", tmp_path / "export")
    async with await tenants.open("to") as tenant:
        (found,) = await (await tenant.knowledge()).search("bread")
        assert (found.domain, found.text) == ("recipes", told)


async def test_the_knowledge_of_a_tenant_is_in_its_folder(tenants: Tenants) -> None:
    async with await tenants.open("one") as one, await tenants.open("two") as two:
        places = [Path((await tenant.knowledge()).where) for tenant in (one, two)]
        assert await one.knowledge() is await one.knowledge()
        assert [tenant.folder in place.parents for tenant, place in zip((one, two), places, strict=True)] == [
            True,
            True,
        ]
    assert await tenants.erase("one")
    assert [place.exists() for place in places] == [False, True]


def test_a_line_that_is_longer_than_a_row_can_be_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr("agent_memory.table_files.MAX_LINE_BYTES", 100)
    path = tmp_path / "memory.episodes.jsonl"
    path.write_bytes(b'{"a": 1}\n' + b"[" * 200)
    rows = read(path)
    assert next(rows) == {"a": 1}
    with pytest.raises(ImportFormatError, match="line 2 has more than 100 bytes"):
        next(rows)
