"""Knowledge over HTTP: documents in, passages out, erased; one tenant's alone. A real LanceDB behind it."""

import base64

import anyio
import pytest

from agent_api.errors import TooManyIngestsError
from agent_api.ingests import MAX_AT_ONCE

PUMP = {"source": "manuals/pump.md", "text": "# Pump\n\nOpen the red valve before you start the pump.\n"}
PRESS = {
    "source": "press.md",
    "content": base64.b64encode(b"# Press\n\nThe press is oiled on Mondays.\n").decode(),
}
URL = "/api/v1/knowledge"


async def ended(client, reply):
    assert reply.status_code == 202, reply.text
    with anyio.fail_after(60):
        while (view := (await client.get(f"{URL}/ingests/{reply.json()['ingest_id']}")).json())[
            "status"
        ] == "running":
            await anyio.sleep(0.02)
    return view


async def test_documents_are_put_in_found_listed_and_erased(open_serving, tmp_path):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        assert (await client.get(URL)).json() == {"items": []}
        body = {"name": "plant", "documents": [PUMP, PRESS]}
        view = await ended(client, await client.post(URL, json=body))
        assert (view["status"], view["done"], view["total"]) == ("done", 2, 2)
        assert sorted(view["result"]["added"]) == ["manuals/pump.md", "press.md"]
        assert (await ended(client, await client.post(URL, json=body)))["result"]["unchanged"] == 2

        (base,) = (await client.get(URL)).json()["items"]
        assert (base["name"], base["sources"]) == ("plant", 2)
        for names in (["plant"], []):
            query = {"query": "which valve", "k": 1, "names": names}
            (hit,) = (await client.post(f"{URL}/search", json=query)).json()["items"]
            assert "red valve" in hit["text"]
            assert hit["citation"]["source"] == "manuals/pump.md"
        page = (await client.get(f"{URL}/bases/plant", params={"limit": 1})).json()
        assert page == {"items": ["manuals/pump.md"], "next_cursor": "manuals/pump.md"}
        page = (await client.get(f"{URL}/bases/plant", params={"cursor": page["next_cursor"]})).json()
        assert page == {"items": ["press.md"], "next_cursor": None}

        gone = await client.delete(f"{URL}/bases/plant", params={"source": "manuals/pump.md"})
        assert gone.json() == {"removed": 1}
        assert (await client.delete(f"{URL}/bases/plant")).json() == {"removed": 1}
        assert (await client.delete(f"{URL}/bases/plant")).status_code == 404
        kept = [path for path in (tmp_path / "data" / "knowledge").rglob("*") if path.is_file()]
        assert not [path for path in kept if b"red valve" in path.read_bytes()], "no byte of it is left"


async def test_paths_are_those_of_the_workspace(open_serving, tmp_path):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        workspace = tmp_path / "shared"
        (workspace / "docs").mkdir()
        (workspace / "docs" / "pump.md").write_text(PUMP["text"])
        (tmp_path / "secret.md").write_text("The vault opens with xylophone.")
        (workspace / "docs" / "link.md").symlink_to(tmp_path / "secret.md")
        (workspace / "way_out").symlink_to(tmp_path)
        view = await ended(client, await client.post(URL, json={"name": "plant", "paths": ["docs"]}))
        assert view["result"]["added"] == ["docs/pump.md"]
        for path in ("../secret.md", "way_out/secret.md", str(tmp_path / "secret.md"), "nothing", "a\0b"):
            reply = await client.post(URL, json={"name": "plant", "paths": [path]})
            assert (reply.status_code, "there is nothing at" in reply.json()["detail"]) == (400, True), path


@pytest.mark.parametrize(
    "body",
    [
        {"name": "plant"},
        {"name": "Bad Name", "documents": [PUMP]},
        {"name": "plant", "documents": [PUMP], "like": "nothing"},
        {"name": "plant", "documents": [{"source": "a.md"}]},
        {"name": "plant", "documents": [{"source": "a.md", "text": "a", "content": "YQ=="}]},
        *(
            {"name": "plant", "documents": [{"source": source, "text": "x"}]}
            for source in ("../a.md", "/a.md", ".a.md", "a//b.md", "a/../../b.md", "a\0.md", "x" * 201)
        ),
        {"name": "plant", "documents": [{"source": "a", "text": "x"}, {"source": "a/b", "text": "x"}]},
    ],
)
async def test_what_cannot_be_read_is_refused(open_serving, body):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        reply = await client.post(URL, json=body)
        assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")


async def test_what_is_asked_for_wrongly_is_said(open_serving):
    async with open_serving([]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        await ended(client, await client.post(URL, json={"name": "plant", "documents": [PUMP]}))
        for body, status in (
            ({"query": "x", "names": ["nope"]}, 404),
            ({"query": "x", "names": ["plant"], "filters": {"colour": "red"}}, 400),
            ({"query": ""}, 400),
        ):
            assert (await client.post(f"{URL}/search", json=body)).status_code == status, body


async def test_one_tenant_sees_nothing_of_another(open_serving):
    async with open_serving([]) as (client, daemon):
        ours = {"Authorization": f"Bearer {daemon.first_key}"}
        theirs = {"Authorization": f"Bearer {daemon.keys.create(now=0.0, tenant='other')[1]}"}
        client.headers.update(ours)
        view = await ended(client, await client.post(URL, json={"name": "plant", "documents": [PUMP]}))
        client.headers.update(theirs)
        assert (await client.get(URL)).json() == {"items": []}
        assert (await client.post(f"{URL}/search", json={"query": "valve"})).json() == {"items": []}
        for method, path in (
            ("get", "bases/plant"),
            ("delete", "bases/plant"),
            ("get", f"ingests/{view['ingest_id']}"),
        ):
            assert (await client.request(method, f"{URL}/{path}")).status_code == 404
        client.headers.update(ours)
        assert len((await client.get(URL)).json()["items"]) == 1


async def test_more_than_a_few_at_once_are_refused(open_serving, tmp_path):
    async with open_serving([]) as (_, daemon):
        ingests = (await daemon.tenants.supervisor("default")).ingests
        begun = [ingests.begin("plant", [tmp_path / "missing.md"]) for _ in range(MAX_AT_ONCE)]
        with pytest.raises(TooManyIngestsError):
            ingests.begin("plant", [tmp_path / "missing.md"])
        with anyio.fail_after(60):
            while any(ingests.view(one.ingest_id).status == "running" for one in begun):
                await anyio.sleep(0.02)
        assert ingests.view(begun[-1].ingest_id).result.failed, "what cannot be read is named"
        ingests.check()
