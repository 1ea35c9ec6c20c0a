"""What asks a server under measurement: keep-alive connections that cost little themselves, and what the server's process spent."""

import asyncio
import os
from pathlib import Path
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    """Megabytes of memory that a process holds now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class Connection:
    """One keep-alive connection of HTTP/1.1."""

    def __init__(self, address: str, key: str = "") -> None:
        self._address = address
        self._key = key

    async def __aenter__(self) -> Self:
        host, _, port = self._address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
    ) -> bytes:
        """The body of the reply.

        Raises:
            SystemExit: it is no success.
        """
        self._writer.write(
            request(self._address, method, path, key=self._key, body=body, content_type=content_type)
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, lines = int(head.split(b" ", 2)[1]), head.lower()
        if b"content-length:" in lines:
            size = int(lines.split(b"content-length:")[1].split(b"\r\n")[0])
            found = await self._reader.readexactly(size)
        else:
            found = b""
            while size := int(await self._reader.readline(), 16):
                found += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        if status >= 300:
            raise SystemExit(f"{method} {path}: {status} {found[:300]!r}")
        return found


def request(
    address: str,
    method: str,
    path: str,
    *,
    key: str,
    body: bytes = b"",
    content_type: str = "application/json",
) -> bytes:
    """A whole request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {len(body)}\r\n"
    head += f"content-type: {content_type}\r\n" if body else ""
    head += f"authorization: Bearer {key}\r\n" if key else ""
    return head.encode() + b"\r\n" + body


class CountedStream(asyncio.Protocol):
    """A stream of server-sent events whose deltas are counted, and nothing else."""

    MARK = b"event: text.delta"

    def __init__(self, wanted: int) -> None:
        self.count = 0
        self._wanted = wanted
        self._rest = b""
        self.has_begun = asyncio.Event()
        self.has_all = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Count what came; a mark may be cut in two."""
        text = self._rest + data
        self.count += text.count(self.MARK)
        behind = text.rfind(self.MARK) + len(self.MARK) if self.MARK in text else 0
        self._rest = text[max(behind, len(text) - len(self.MARK) + 1) :]
        if b"\ndata: " in data:
            self.has_begun.set()
        if self.count >= self._wanted:
            self.has_all.set()
