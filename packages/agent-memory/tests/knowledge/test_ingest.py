"""Folders into a knowledge base: only what changed, and whatever a file does."""

import asyncio
import zipfile

import pytest

from agent_memory.embedders import StaticEmbedder
from agent_memory.errors import KnowledgeVersionError
from agent_memory.knowledge import ingest
from agent_memory.knowledge.lance import LanceKnowledgeBase

EMBEDDER = StaticEmbedder()


@pytest.fixture
async def kb(tmp_path):
    async with await LanceKnowledgeBase.open(tmp_path / "kb", tenant="t", embedder=EMBEDDER) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "docs"
    (made / "deep").mkdir(parents=True)
    (made / "pump.md").write_text("# Pump\n\n## Setup\n\nOpen the red valve before you start the pump.\n")
    (made / "deep" / "boats.txt").write_text("A sailing boat needs wind and a rudder.\n")
    (made / "prices.csv").write_text("part,price\nvalve,12\nrotor,40\n")
    (made / ".hidden.md").write_text("nobody asked for this")
    return made


async def test_what_is_read_is_found_with_its_place(kb, folder):
    report = await kb.ingest(folder)
    assert len(report.added) == 3
    assert (report.failed, report.skipped, report.unchanged) == ((), (), 0)
    found = (await kb.search("which valve do I open before starting", k=1))[0]
    assert found.citation.source == str(folder / "pump.md")
    assert found.citation.heading == "Pump > Setup"
    assert found.citation.title == "Pump"
    text = (folder / "pump.md").read_text()
    assert text[found.citation.start : found.citation.end] == found.text


async def test_a_second_run_does_only_what_changed(kb, folder):
    await kb.ingest(folder)
    again = await kb.ingest(folder)
    assert (again.added, again.changed, again.unchanged, again.version) == ((), (), 3, "")
    (folder / "pump.md").write_text("# Pump\n\nThe pump was sold.\n")
    (folder / "new.txt").write_text("Something about lanterns.")
    (folder / "prices.csv").unlink()
    third = await kb.ingest(folder, remove_missing=True)
    assert [name.rpartition("/")[2] for name in third.added] == ["new.txt"]
    assert [name.rpartition("/")[2] for name in third.changed] == ["pump.md"]
    assert [name.rpartition("/")[2] for name in third.removed] == ["prices.csv"]
    assert third.unchanged == 1
    texts = [one.text for one in await kb.search("valve pump rotor", k=50)]
    assert not [text for text in texts if "red valve" in text or "rotor" in text]


async def test_progress_is_told_file_by_file(kb, folder):
    told = []
    await kb.ingest(folder, on_progress=told.append)
    assert [(one.done, one.total) for one in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[-1].passages == 3


async def test_metadata_is_kept_and_filtered_by(kb, folder):
    await kb.ingest(folder, metadata=lambda source: {"topic": source[-3:], "colour": "red"})
    found = await kb.search("pump", k=10, filters={"topic": ".md"})
    assert {one.metadata["colour"] for one in found} == {"red"}
    assert {one.citation.source for one in found} == {str(folder / "pump.md")}
    assert await kb.search("pump", k=10, filters={"kind": "table"})


async def test_versions_are_listed_compared_and_taken_back(kb, folder):
    first = (await kb.ingest(folder)).version
    (folder / "pump.md").write_text("# Pump\n\nThe pump was sold to a circus.\n")
    (folder / "deep" / "boats.txt").unlink()
    second = (await kb.ingest(folder, remove_missing=True)).version
    assert [one.name for one in await kb.versions("general")] == [first, second]
    change = await kb.diff("general", first, second)
    assert [name.rpartition("/")[2] for name in change.changed] == ["pump.md"]
    assert [name.rpartition("/")[2] for name in change.removed] == ["boats.txt"]
    assert await kb.diff("general", first) == change
    third = await kb.roll_back("general", first)
    assert "red valve" in (await kb.search("which valve do I open", k=1))[0].text
    assert (await kb.search("rudder", k=1))[0].citation.source.endswith("boats.txt")
    await kb.roll_back("general", second)
    assert "circus" in (await kb.search("pump circus", k=1))[0].text
    assert (await kb.diff("general", first, third)).changed == ()
    with pytest.raises(KnowledgeVersionError, match="'v999'"):
        await kb.roll_back("general", "v999")
    with pytest.raises(KnowledgeVersionError, match="there are: none"):
        await kb.diff("legal", "v1")


async def test_archives_are_looked_into(kb, tmp_path):
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep.txt", "The lantern is in the cellar.")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "a/inner.zip")
        archive.writestr("b.md", "# Bread\n\nFlour and water.")
    report = await kb.ingest(tmp_path / "outer.zip")
    assert sorted(name.removeprefix(f"{tmp_path}/") for name in report.added) == [
        "outer.zip!/a/inner.zip!/deep.txt",
        "outer.zip!/b.md",
    ]
    assert (await kb.search("lantern", k=1))[0].citation.source.endswith("!/deep.txt")


async def test_addresses_are_fetched(kb):
    pytest.importorskip("trafilatura", reason="the extra [documents] is not installed")
    page = (
        b"<html><head><title>T</title></head><body><article><p>"
        + b"The harbour is open. " * 20
        + b"</p></article>"
    )

    async def fetch(address):
        if "missing" in address:
            raise OSError("404")
        return page

    report = await kb.ingest("https://example.org/harbour", "https://example.org/missing", fetch=fetch)
    assert report.added == ("https://example.org/harbour",)
    assert report.failed[0].reason == "it cannot be fetched: 404"
    assert (await kb.search("harbour", k=1))[0].citation.source == "https://example.org/harbour"


async def test_a_server_on_this_machine_is_read(kb):
    pytest.importorskip("trafilatura", reason="the extra [documents] is not installed")

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = b"<html><body><article><p>" + b"Windmills grind flour. " * 20 + b"</p></article></body></html>"
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        report = await kb.ingest(f"http://127.0.0.1:{port}/mills")
    assert len(report.added) == 1
    assert (await kb.search("windmills", k=1))[0].text.startswith("Windmills grind")


async def test_a_source_of_many_passages_counts_when_it_is_whole(kb, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "_UNITS_A_COMMIT", 20)
    monkeypatch.setattr(ingest, "_UNITS_A_WRITE", 10)
    long = tmp_path / "long.txt"
    long.write_text("\n\n".join(f"Paragraph {number}. " + "word " * 170 for number in range(60)))
    write, calls = kb.write, []

    async def dies(domain, units, replaced=()):
        calls.append(len(units))
        if len(calls) == 3:
            raise KeyboardInterrupt
        await write(domain, units, replaced)

    kb.write = dies
    with pytest.raises(KeyboardInterrupt):
        await kb.ingest(long)
    kb.write = write
    assert await kb.sources("general") == {}
    report = await kb.ingest(long)
    assert list(await kb.sources("general")) == [str(long)]
    assert await kb._shelves["general"].table.count() == report.passages == 60


async def test_a_domain_is_embedded_again_with_another_embedder(kb, folder, tmp_path):
    await kb.ingest(folder)
    digests = await kb.sources("general")

    half = Halved()
    async with await LanceKnowledgeBase.open(tmp_path / "kb", tenant="t", embedder=half) as other:
        assert await other.reembed("general") == 3
        assert await other.sources("general") == digests
        assert (await other.search("rudder", k=1, domains=["general"]))[0].citation.source.endswith(
            "boats.txt"
        )
        assert (await other.ingest(folder)).unchanged == 3


class Halved:
    """Half of every vector, under another name."""

    name = "static:half"
    dimensions = 128

    async def embed(self, texts, *, purpose="document"):
        from agent_core import Embeddings

        return Embeddings(vectors=EMBEDDER.vectors(texts)[:, :128].tobytes(), dimensions=128)


async def test_a_folder_of_everything_comes_to_a_full_report(kb, hostile, tmp_path):
    hostile.make(tmp_path / "share", count=92, big_mb=0)
    told = []
    report = await kb.ingest(tmp_path / "share", on_progress=told.append)
    assert told[-1].done == told[-1].total == 92
    known = {*report.added, *(one.source for one in (*report.skipped, *report.failed))}
    files = {
        str(path) for path in (tmp_path / "share").rglob("*") if path.is_file() and not path.is_symlink()
    }
    assert {source.split("!")[0] for source in known} == files
    bad = {one.source: one.reason for one in report.failed}
    assert all(bad.values())
    assert not [name for name in bad if "/good " in name]
    assert [name for name in bad if "cut.pdf" in name]
    assert [one for one in report.skipped if "empty.txt" in one.source]
    assert await kb.search("pump pressure", k=5)
