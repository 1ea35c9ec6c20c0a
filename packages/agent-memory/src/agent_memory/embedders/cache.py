"""Vectors kept on disk by model and text, so that nothing is embedded twice. For models that are slow or cost money.

diskcache unpickles what it reads (CVE-2025-69872; 5.6.3 has no remedy), so who can write the folder could run code
here. Under our codec a row is bytes of one vector or it is not there: no pickle is read or written.
"""

import hashlib
import importlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from agent_core.embeddings import FLOAT_BYTES, Embeddings, Purpose
from agent_core.ports import Embedder

_MODE_RAW = 1


class _Store(Protocol):
    """What is used of `diskcache.Cache`."""

    def get(self, key: str, *, retry: bool) -> bytes | None: ...
    def set(self, key: str, value: bytes, *, retry: bool) -> bool: ...
    def transact(self, *, retry: bool) -> Any: ...
    def close(self) -> None: ...


class VectorCodec:
    """What goes before `diskcache.Disk`: keys are texts, values are bytes, all else is refused as a missing file is."""

    def put(self, key: str) -> tuple[str, bool]:
        """The key as the database holds it."""
        return key, True

    def get(self, key: object, raw: object) -> str:
        """The key out of the database."""
        if not raw or not isinstance(key, str):
            raise OSError
        return key

    def store(self, value: bytes, read: object, key: object = None) -> tuple[int, int, None, bytes]:  # noqa: ARG002
        """The columns of a value: size besides the row, mode, file, bytes."""
        return 0, _MODE_RAW, None, value

    def fetch(self, mode: int, filename: str | None, value: object, read: object) -> bytes:  # noqa: ARG002
        """The value out of the columns; diskcache takes an `OSError` for a row that is gone."""
        if mode != _MODE_RAW or filename is not None or not isinstance(value, bytes):
            raise OSError
        return value

    def remove(self, file_path: str) -> None:
        """There are no files: a name in a row is somebody else's, and not to be deleted."""


class CachedEmbedder:
    """The `Embedder` port before another one. A cache that fails is no reason to: the model is asked."""

    def __init__(self, embedder: Embedder, folder: Path, *, size_limit_bytes: int = 1 << 30) -> None:
        """`folder` is made with mode 0700, and is this cache's alone; over the limit the oldest vectors go."""
        self._embedder = embedder
        self._folder = folder
        self._size_limit_bytes = size_limit_bytes
        self._store: _Store | None = None
        self.hits = 0
        self.misses = 0

    @property
    def name(self) -> str:
        """The name of the embedder behind: its vectors are the same."""
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """The length of every vector."""
        return self._embedder.dimensions

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embeddings:
        """As the embedder behind, which is asked once for what is not known; its errors are passed on."""
        keys = [self._key(text, purpose) for text in texts]
        known = await anyio.to_thread.run_sync(self._read, keys)
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        self.hits += len(texts) - len(unknown)
        self.misses += len(unknown)
        if unknown:
            made = await self._embedder.embed(list(unknown.values()), purpose=purpose)
            new = {key: bytes(made[row]) for row, key in enumerate(unknown)}
            known |= new
            await anyio.to_thread.run_sync(self._write, new)
        return Embeddings(vectors=b"".join(known[key] for key in keys), dimensions=self.dimensions)

    def _key(self, text: str, purpose: Purpose) -> str:
        told = f"{self.name}\0{self.dimensions}\0{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(told, digest_size=20).hexdigest()

    def _read(self, keys: Sequence[str]) -> dict[str, bytes]:
        size = FLOAT_BYTES * self.dimensions
        try:
            store = self._ready()
            rows = {key: store.get(key, retry=True) for key in keys}
        except (sqlite3.Error, OSError):
            return {}
        return {key: row for key, row in rows.items() if row is not None and len(row) == size}

    def _write(self, new: dict[str, bytes]) -> None:
        try:
            store = self._ready()
            with store.transact(retry=True):
                for key, row in new.items():
                    store.set(key, row, retry=True)
        except (sqlite3.Error, OSError):
            pass

    def _ready(self) -> _Store:
        if self._store is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._store = _open(self._folder, self._size_limit_bytes)
        return self._store

    async def aclose(self) -> None:
        """Close the database and the embedder behind."""
        if self._store is not None:
            self._store.close()
            self._store = None
        await self._embedder.aclose()


def _open(folder: Path, size_limit_bytes: int) -> _Store:
    # Untyped, and a tenth of a second to import: when a cache is first used.
    diskcache: Any = importlib.import_module("diskcache")
    disk = type("VectorDisk", (VectorCodec, diskcache.Disk), {})
    store: _Store = diskcache.Cache(
        str(folder), disk=disk, size_limit=size_limit_bytes, eviction_policy="least-recently-stored"
    )
    return store
