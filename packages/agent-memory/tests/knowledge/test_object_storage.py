"""Knowledge bases in a bucket, against a real S3 server on loopback: `moto`, in a process of its own."""

import importlib.util
import re
import socket
import subprocess
import sys
import time
import urllib.request
from urllib.parse import quote

import pytest

from agent_core import KnowledgeUnavailableError
from agent_memory import LanceKnowledgeBase

pytestmark = [
    pytest.mark.object_storage,
    pytest.mark.skipif(
        importlib.util.find_spec("moto") is None,
        reason="needs an S3 server: uv run --with 'moto[server]' pytest -m object_storage",
    ),
]
SECRET = b"xylophone"


class Server:
    """A bucket named `bucket`, looked into from outside."""

    def __init__(self, address):
        self.address = address
        self.options = {
            "endpoint": address,
            "allow_http": "true",
            "region": "us-east-1",
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
        }

    def ask(self, path, method="GET"):
        # moto wants to be told of some key, and does not check the signature.
        signed = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        asked = urllib.request.Request(
            f"{self.address}/{path}", method=method, headers={"Authorization": signed}
        )
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return reply.read()

    def objects(self):
        """Everything in the bucket, by key."""
        listed = re.findall(r"<Key>([^<]+)</Key>", self.ask("bucket?list-type=2&max-keys=1000").decode())
        return {key: self.ask(f"bucket/{quote(key)}") for key in listed}


@pytest.fixture(scope="module")
def server():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    found = Server(f"http://127.0.0.1:{port}")
    try:
        for _ in range(240):
            try:
                found.ask("bucket", "PUT")
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.25)
        yield found
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "pump.md").write_text("# Pump\n\nOpen the red valve before you start the pump.\n")
    (tmp_path / "files" / "vault.md").write_text(f"# Vault\n\nThe vault opens with {SECRET.decode()}.\n")
    return tmp_path / "files"


async def test_a_knowledge_base_lives_in_a_bucket(server, files, tmp_path):
    async with await LanceKnowledgeBase.open(
        "s3://bucket/life", tenant="acme", storage_options=server.options
    ) as kb:
        first = await kb.ingest(files)
        assert (len(first.added), first.failed) == (2, ())
        (files / "prices.csv").write_text("part,price\nvalve,12\n")
        second = await kb.ingest(files)
        assert (second.added, second.unchanged) == ((str(files / "prices.csv"),), 2)
        (best,) = await kb.search("what do I open before starting", k=1)
        assert best.citation.heading == "Pump"
        found = await kb.search("valve", filters={"source": str(files / "pump.md")})
        assert [one.citation.source for one in found] == [str(files / "pump.md")]
        assert [one.name for one in await kb.versions("general")] == [first.version, second.version]
        assert (await kb.diff("general", first.version)).added == (str(files / "prices.csv"),)
        await kb.roll_back("general", first.version)
        assert len(await kb.sources("general")) == 2
        await kb.put_in_order("general")
        await kb.export(tmp_path / "export")
    async with await LanceKnowledgeBase.open(
        "s3://bucket/life", tenant="acme", storage_options=server.options
    ) as kb:
        assert len(await kb.sources("general")) == 2
        assert len(await kb.search("vault", k=1)) == 1
    async with await LanceKnowledgeBase.open(
        "s3://bucket/again", tenant="acme", storage_options=server.options
    ) as kb:
        assert await kb.restore(tmp_path / "export") == 2
        assert (await kb.search("vault", k=1))[0].citation.heading == "Vault"


async def test_tenants_do_not_meet_in_a_bucket(server, files):
    for tenant in ("one", "one/two", "../one", "one%2Ftwo"):
        async with await LanceKnowledgeBase.open(
            "s3://bucket/tenants", tenant=tenant, storage_options=server.options
        ) as kb:
            assert await kb.search("vault") == []
            await kb.ingest(files)
    places = {key.split("/")[1] for key in server.objects() if key.startswith("tenants/")}
    assert len(places) == 4


async def test_what_is_forgotten_is_in_no_object(server, files):
    async with await LanceKnowledgeBase.open(
        "s3://bucket/gone", tenant="acme", storage_options=server.options
    ) as kb:
        await kb.ingest(files)
        mine = [told for key, told in server.objects().items() if key.startswith("gone/")]
        assert any(SECRET in told for told in mine)
        await kb.forget("general", [str(files / "vault.md")])
        mine = [told for key, told in server.objects().items() if key.startswith("gone/")]
        assert mine
        assert not any(SECRET in told for told in mine)
        assert (await kb.search("valve", k=1))[0].citation.heading == "Pump"


async def test_credentials_and_the_endpoint_may_come_by_the_environment(server, files, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    async with await LanceKnowledgeBase.open("s3://bucket/environment", tenant="acme") as kb:
        assert len((await kb.ingest(files)).added) == 2


@pytest.mark.parametrize(
    ("where", "options", "reason"),
    [
        ("s3://missing/knowledge", {}, "no such bucket; make it first"),
        ("s3://bucket/knowledge", {"endpoint": "http://127.0.0.1:9"}, "cannot be reached.*127.0.0.1:9"),
        ("s3://bucket/knowledge", {"allow_http": "false"}, "cannot be reached.*allow_http"),
    ],
)
async def test_what_is_wrong_with_a_bucket_is_said_when_it_is_opened(server, where, options, reason):
    with pytest.raises(KnowledgeUnavailableError, match=f"at {where}/acme cannot be used: .*{reason}"):
        await LanceKnowledgeBase.open(where, tenant="acme", storage_options={**server.options, **options})
