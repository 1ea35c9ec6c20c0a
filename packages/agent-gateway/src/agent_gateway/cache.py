"""Whole replies kept on disk, so that the same request is answered without a model.

diskcache unpickles what it reads (CVE-2025-69872; 5.6.3 has no remedy), so who can write the folder could run code here.
Under our codec a row is bytes of msgpack or it is not there: no pickle is read or written, and no file besides the
database. diskcache is imported when a cache is first used, because that takes a tenth of a second.
"""

import asyncio
import contextlib
import hashlib
import importlib
import sqlite3
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.json_types import JsonObject
from agent_core.messages import FinishReason, Reasoning, Text, Usage
from agent_core.tools import ToolCall

_MODE_RAW = 1
_BUSY_S = 0.05
"""How long somebody who reads waits for a lock, at most: a miss costs less."""
_FORMAT = "1"
"""Part of every key: entries of another form are never found."""
_WHOLE = frozenset({FinishReason.STOP, FinishReason.TOOL_CALLS})

_encoder = msgspec.msgpack.Encoder(enc_hook=lambda value: dict(cast("JsonObject", value)))
_key_encoder = msgspec.json.Encoder(
    order="deterministic", enc_hook=lambda value: dict(cast("JsonObject", value))
)


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    stored_at: float
    completion: Completion


_decoder = msgspec.msgpack.Decoder(_Entry)


class _Store(Protocol):
    """What is used of `diskcache.Cache`."""

    def get(self, key: str) -> bytes | None: ...
    def set(self, key: str, value: bytes, *, expire: float) -> bool: ...
    def close(self) -> None: ...


class Codec:
    """What goes before `diskcache.Disk`: keys are texts, values are bytes, everything else is refused.

    diskcache takes an `OSError` while it fetches for a row whose file is gone: a miss.
    """

    def put(self, key: str) -> tuple[str, bool]:
        """The key as the database holds it."""
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key out of the database."""
        if not raw or not isinstance(key, str):
            raise OSError
        return key

    def store(self, value: bytes, read: object, key: object = None) -> tuple[int, int, None, bytes]:  # noqa: ARG002
        """The columns of a value: size on disk besides the row, mode, file, bytes."""
        return 0, _MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: object, read: object) -> bytes:  # noqa: ARG002
        """The value out of the columns."""
        if mode != _MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise OSError
        return value

    def remove(self, file_path: str) -> None:
        """There are no files: a name in a row is somebody else's, and not to be deleted."""


class ResponseCache:
    """Replies by the request that they answer, in a folder; several processes may share it.

    A cache that cannot be read or written is no reason to fail: it is a miss, and counted in `failures`.
    """

    def __init__(self, folder: Path, *, ttl_s: float = 86_400.0, size_limit_bytes: int = 256 << 20) -> None:
        """`ttl_s` is how long a reply is good for; over `size_limit_bytes` the oldest go."""
        self._folder = folder
        self._ttl_s = ttl_s
        self._size_limit_bytes = size_limit_bytes
        self._store: _Store | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._troubles: tuple[type[Exception], ...] = (sqlite3.Error, OSError)
        self.hits = 0
        self.misses = 0
        self.failures = 0

    def get(self, key: str, now: float) -> Completion | None:
        """The reply to the request of `key`, or None. Reads at once: SQLite takes some ten microseconds."""
        content: bytes | None = None
        with self._failing():
            content = self._ready().get(key)
        if content is not None:
            with contextlib.suppress(msgspec.DecodeError):
                entry = _decoder.decode(content)
                if 0 <= now - entry.stored_at <= self._ttl_s:
                    self.hits += 1
                    return entry.completion
        self.misses += 1
        return None

    async def put(self, key: str, completion: Completion, now: float) -> None:
        """Keep a reply, if it is whole: one that was cut off or filtered is not the answer to the next caller."""
        if completion.finish_reason not in _WHOLE:
            return
        content = _encoder.encode(_Entry(now, completion))
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="response-cache")
        # A commit may wait for the disk, which must not hold up other streams.
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, key, content)

    async def aclose(self) -> None:
        """Close the database; a later use opens it again."""
        store, self._store = self._store, None
        writer, self._writer = self._writer, None
        if store is not None:
            store.close()
            if writer is not None:
                await asyncio.get_running_loop().run_in_executor(writer, store.close)
        if writer is not None:
            writer.shutdown()

    def _write(self, key: str, content: bytes) -> None:
        with self._failing():
            self._ready().set(key, content, expire=self._ttl_s)

    @contextlib.contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except self._troubles:
            self.failures += 1

    def _ready(self) -> _Store:
        if self._store is None:
            self._store, timeout = _open(self._folder, self._size_limit_bytes)
            self._troubles = (sqlite3.Error, OSError, timeout)
        return self._store


def request_key(request: ModelRequest, *, scope: str) -> str:
    """What stands for a request: equal where model, messages, tools and settings are, and the tenant is the same.

    Args:
        request: The request; who asks and until when makes no difference, apart from the tenant, whose replies are
            nobody else's to read.
        scope: Who would answer.
    """
    alike = msgspec.structs.replace(request, context=type(request.context)())
    digest = hashlib.blake2b(_key_encoder.encode(alike), digest_size=20)
    digest.update(f"\0{_FORMAT}\0{scope}\0{request.context.tenant}".encode())
    return digest.hexdigest()


def replayed(completion: Completion) -> Iterator[Delta | Completion]:
    """A kept reply as a stream: each part in one piece, then the completion, which this time took nothing."""
    calls = 0
    for part in completion.message.parts:
        match part:
            case Text():
                yield TextDelta(part.text)
            case Reasoning() if part.text:
                yield ReasoningDelta(part.text)
            case ToolCall():
                arguments = part.malformed or _key_encoder.encode(part.arguments).decode()
                yield ToolCallDelta(index=calls, name=part.name, arguments=arguments)
                calls += 1
            case _:
                pass  # nothing to show
    yield msgspec.structs.replace(completion, usage=Usage(cost_usd=0.0))


def _open(folder: Path, size_limit_bytes: int) -> tuple[_Store, type[Exception]]:
    """The database, and what diskcache raises where a lock is not to be had in time."""
    diskcache: Any = importlib.import_module("diskcache")  # untyped; see the module's docstring for why here
    disk = type("MsgpackDisk", (Codec, diskcache.Disk), {})
    # "least-recently-stored" writes nothing when it reads.
    cache = diskcache.Cache(
        str(folder),
        timeout=_BUSY_S,
        disk=disk,
        size_limit=size_limit_bytes,
        eviction_policy="least-recently-stored",
    )
    return cache, diskcache.Timeout
