"""A tenant's memory and knowledge bases over HTTP: taken away as one archive, brought back elsewhere, all of it or nothing."""

import gc
import io
import json
import tarfile

import anyio
import pytest

from agent_api.access.attempt import Attempt
from agent_api.archives import MAX_FILES, unpack
from agent_core.testing import answer

URL = "/api/v1/memory"
DOCUMENT = {"source": "pump.md", "text": "# Pump\n\nOpen the red valve before you start the pump."}


async def until(client, path, status="running"):
    with anyio.fail_after(60):
        while (seen := (await client.get(path)).json())["status"] == status:
            await anyio.sleep(0.02)
    return seen


async def filled(client):
    """Something that is remembered, and a knowledge base."""
    body = {"prompt": "My sister is called Ada.", "session_id": "s"}
    run = (await client.post("/api/v1/runs", json=body)).json()
    await until(client, f"/api/v1/runs/{run['run_id']}")
    ingest = (
        await client.post("/api/v1/knowledge", json={"name": "manuals", "documents": [DOCUMENT]})
    ).json()
    await until(client, f"/api/v1/knowledge/ingests/{ingest['ingest_id']}")


def as_key(client, daemon, **fields):
    client.headers["Authorization"] = f"Bearer {daemon.keys.create(now=0.0, **fields)[1]}"


async def imported(client, archive, **headers):
    reply = await client.post(f"{URL}/import", content=archive, headers=headers)
    assert reply.status_code == 202, reply.text
    return await until(client, f"{URL}/imports/{reply.json()['import_id']}")


@pytest.fixture
async def archive(open_serving):
    """What a tenant of one daemon took away."""
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon)
        await filled(client)
        reply = await client.get(f"{URL}/export", params={"bases": True})
        assert reply.headers["content-type"] == "application/x-tar"
        assert int(reply.headers["content-length"]) == len(reply.content)
        assert [*(daemon.tenants.machine.settings.data_path() / "exports").iterdir()] == []
        return reply.content


def packed(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return made.getvalue()


def files_of(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar.getmembers()}


async def test_what_was_taken_away_is_brought_back_to_another_tenant_and_to_nobody_else(
    open_serving, archive
):
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        done = await imported(client, archive)
        assert (done["status"], done["passages"], done["rows"] > 0) == ("done", 1, True), done
        texts = [one["text"] for one in (await client.get(URL)).json()["items"]]
        assert texts == ["My sister is called Ada.", "Fine."]
        hits = (await client.post(f"{URL}/search", json={"query": "what is my sister called"})).json()[
            "items"
        ]
        assert hits[0]["text"] == "My sister is called Ada."
        found = (await client.post("/api/v1/knowledge/search", json={"query": "which valve"})).json()["items"]
        assert "red valve" in found[0]["text"]
        again = (await client.get(f"{URL}/export", params={"bases": True})).content
        before, after = files_of(archive), files_of(again)
        assert after.keys() == before.keys()
        assert all(after[name] == before[name] for name in before if name.startswith("memory."))
        as_key(client, daemon, tenant="third")
        assert (await client.get(URL)).json()["items"] == []
        assert (await client.get(f"{URL}/imports/{done['import_id']}")).status_code == 404


async def test_an_import_never_mixes_with_what_is_there(open_serving, archive):
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon)  # the tenant that it was taken from
        for path in ("bases/manuals", None):
            reply = await client.post(f"{URL}/import", content=archive)
            assert (reply.status_code, reply.json()["type"]) == (409, "urn:agentd:already-there")
            if path:
                await client.delete(f"/api/v1/knowledge/{path}")
        assert (await client.get("/api/v1/knowledge")).json()["items"] == [], "the bases are not left behind"


async def test_the_same_request_is_one_import_and_another_archive_is_refused(open_serving, archive):
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        named = {"Idempotency-Key": "back"}
        done = await imported(client, archive, **named)
        again = await client.post(f"{URL}/import", content=archive, headers=named)
        assert (again.status_code, again.json()) == (202, done)
        other = await client.post(f"{URL}/import", content=archive + bytes(512), headers=named)
        assert other.status_code == 422
        assert len((await client.get(URL)).json()["items"]) == 2


@pytest.mark.parametrize("made", ["nothing", "knowledge", "all"])
async def test_an_import_that_a_kill_cut_off_goes_on_at_the_next_start(open_serving, archive, tmp_path, made):
    """What a killed daemon leaves: the unpacked folder, and some of what it holds made already."""
    async with open_serving([], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        agent = (await daemon.tenants.supervisor("other")).agent
        imports = (await daemon.tenants.supervisor("other")).imports
        imports._begin = lambda import_id, digest: imports.__class__  # killed before anything is made
        pieces = iter([archive])

        async def next_piece():
            return next(pieces, b"")

        await imports.receive(next_piece, Attempt("1a", is_again=False), with_knowledge=True)
        folder = agent.data_path / "imports" / "import_1a"
        assert folder.is_dir()
        if made != "nothing":
            await agent.knowledge.restore(folder)
        if made == "all":
            await agent.memory.skills.restore(folder)
            await agent.memory.long_term.restore(folder)
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        done = await until(client, f"{URL}/imports/import_1a")
        assert (done["status"], done["passages"]) == ("done", 1), done
        assert len((await client.get(URL)).json()["items"]) == 2
        assert not folder.exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "manifest.json"),
        ({"manifest.json": b"{}"}, "manifest.json"),
        ({"../evil.jsonl": b"x"}, "is no file of an export"),
        ({"/etc/passwd": b"x"}, "is no file of an export"),
        ({"memory.episodes.parquet": b"x"}, "is no file of an export"),
        ({f"memory.t{n}.jsonl": b"" for n in range(MAX_FILES + 1)}, "more than"),
    ],
)
async def test_what_is_no_export_is_refused_and_leaves_nothing(open_serving, files, says):
    async with open_serving([], long_term=True) as (client, daemon):
        as_key(client, daemon)
        reply = await client.post(f"{URL}/import", content=packed(files))
        assert (reply.status_code, reply.json()["type"]) == (400, "urn:agentd:import")
        assert says in reply.json()["detail"]
        folder = daemon.tenants.machine.settings.data_path() / "imports"
        assert [*folder.iterdir()] == []


async def test_a_damaged_export_comes_to_nothing(open_serving, archive):
    files = files_of(archive)
    for name in ("memory.episodes.jsonl", "knowledge.manuals.jsonl"):
        async with open_serving([], long_term=True) as (client, daemon):
            as_key(client, daemon, tenant="other")
            done = await imported(client, packed({**files, name: b"no rows\n"}))
            assert (done["status"], name in done["error"]) == ("failed", True)
            assert (await client.get("/api/v1/knowledge")).json()["items"] == []
            assert (await client.get(URL)).json()["items"] == []
    for cut in (100, 512, 2_000, len(archive) - 1_100):
        async with open_serving([], long_term=True) as (client, daemon):
            as_key(client, daemon, tenant="other")
            assert (await client.post(f"{URL}/import", content=archive[:cut])).status_code == 400


async def test_a_domain_that_cannot_be_is_refused(open_serving, archive):
    files = files_of(archive)
    manifest = json.loads(files["manifest.json"])
    manifest["knowledge"][0]["domain"]["name"] = "../../evil"
    async with open_serving([], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        reply = await client.post(
            f"{URL}/import", content=packed({**files, "manifest.json": json.dumps(manifest).encode()})
        )
        assert reply.status_code == 400
        assert "cannot name a domain" in reply.json()["detail"]


async def test_a_body_has_a_limit_and_bases_need_their_scope(open_serving, archive):
    async with open_serving([], long_term=True, max_import_bytes=1_000) as (client, daemon):
        as_key(client, daemon, tenant="other")
        reply = await client.post(f"{URL}/import", content=archive)
        assert (reply.status_code, "max_import_bytes" in reply.text) == (413, True)
    async with open_serving([], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other", scopes=("memory:read", "memory:write"))
        assert (await client.post(f"{URL}/import", content=archive)).status_code == 403
        assert (await client.get(f"{URL}/export", params={"bases": True})).status_code == 403
        assert (await client.get(f"{URL}/export")).status_code == 200


async def test_a_full_disk_is_507_and_leaves_nothing(open_serving, archive, monkeypatch):
    async def full(next_piece, folder):
        raise OSError(28, "No space left on device")

    async with open_serving([], long_term=True) as (client, daemon):
        as_key(client, daemon, tenant="other")
        with monkeypatch.context() as patched:
            patched.setattr("agent_api.archives.unpack", full)
            reply = await client.post(f"{URL}/import", content=archive)
        assert (reply.status_code, "No space left" in reply.text) == (507, True)
        assert (await imported(client, archive))["status"] == "done", "with room again all goes on"


async def test_where_nothing_is_remembered_bases_are_taken_away_alone(open_serving):
    async with open_serving([]) as (client, daemon):
        as_key(client, daemon)
        assert (await client.get(f"{URL}/export")).status_code == 404
        reply = await client.get(f"{URL}/export", params={"bases": True})
        assert [*files_of(reply.content)] == ["manifest.json"]


async def test_an_archive_may_come_in_any_pieces_and_from_other_programs(tmp_path):
    content = b"".join(b"%d\n" % n for n in range(5_000))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        about = tarfile.TarInfo("./memory.episodes.jsonl")
        about.size, about.pax_headers = len(content), {"mtime": "1.5", "comment": "x" * 2_000}
        tar.addfile(about, io.BytesIO(content))
    for size in (1, 7, 511, 512, 10_000):
        folder = tmp_path / str(size)
        folder.mkdir()
        left = io.BytesIO(made.getvalue())

        async def next_piece(left=left, size=size):
            return left.read(size)

        await unpack(next_piece, folder)
        assert (folder / "memory.episodes.jsonl").read_bytes() == content


async def test_an_export_leaves_the_disk_however_far_its_client_reads(open_serving):
    async with open_serving([answer("Fine.")], long_term=True) as (client, daemon):
        as_key(client, daemon)
        await filled(client)
        imports = (await daemon.tenants.supervisor("default")).imports
        folder = daemon.tenants.machine.settings.data_path() / "exports"
        for pieces in (0, 1):
            export = await imports.export(bases=True)
            assert len([*folder.iterdir()]) == 1
            reading = export.pieces()
            for _ in range(pieces):
                await anext(reading)
            await reading.aclose()
            del reading, export
            gc.collect()
            assert [*folder.iterdir()] == []
        held = [await imports.export(bases=False) for _ in range(2)]
        assert (await client.get(f"{URL}/export")).status_code == 503
        del held
        gc.collect()
        assert (await client.get(f"{URL}/export")).status_code == 200
