"""API keys, in a SQLite file of their own. A key is shown once; what is kept is a hash of it under a secret of this machine.

A key reads `ag_<id>_<secret>`: the id is no secret, it is how a person knows the key again. The secret has 256 bits, so a fast
keyed hash (BLAKE2b, RFC 7693) is enough: there is nothing to guess. The pepper lies beside the file, readable by its owner
alone, or comes as the systemd credential `agent_pepper`; without it the file is of no use.
"""

import hmac
import os
import re
import secrets
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from agent_api.access.private_file import open_private, writing
from agent_api.access.scopes import ALL
from agent_api.errors import KeyRefusedError, NotFoundError, SettingsError
from agent_memory.sqlite import make_private_folder, transaction

PREFIX = "ag"
DEFAULT_TENANT = "default"
CHECK_S = 0.5
"""How old what is known of the keys may be: a key that another process revoked is refused within this time."""

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS keys (
        key_id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        scopes TEXT NOT NULL,
        limits TEXT NOT NULL,
        hash BLOB NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL,
        rotated_to TEXT NOT NULL DEFAULT ''
    ) STRICT""",
    # Which keys were changed, in order, by whatever process: nobody reads the others again.
    "CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY, key_id TEXT NOT NULL) STRICT",
    """CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON keys
        BEGIN INSERT INTO changes (key_id) VALUES (new.key_id); END""",
    """CREATE TRIGGER IF NOT EXISTS changed AFTER UPDATE ON keys
        BEGIN INSERT INTO changes (key_id) VALUES (new.key_id); END""",
)

_ONE = "SELECT * FROM keys WHERE key_id = ?"


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one key may spend; None: unlimited."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    cost_usd_per_month: float | None = None


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; never the key itself."""

    key_id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    limits: KeyLimits
    created_at: float
    """Seconds since the epoch."""
    expires_at: float | None = None
    revoked_at: float | None = None
    rotated_to: str = ""
    """The key that was made in its place; empty: none. What was set up with this one goes on with that."""

    def is_valid(self, now: float) -> bool:
        """Whether it opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def checked_tenant(name: str) -> str:
    """The name, which is also that of a folder.

    Raises:
        SettingsError: it is none that a tenant can have.
    """
    if not _TENANT.fullmatch(name):
        raise SettingsError(
            f"{name!r} is no name for a tenant: small letters, digits and hyphens, at most 63, a letter or digit first"
        )
    return name


class KeyStore:
    """The keys of one daemon. Quick and blocking: a look-up touches no disk, a change one small file."""

    def __init__(self, folder: Path) -> None:
        """Open or create the file in `folder`.

        Raises:
            SettingsError: it cannot be opened.
        """
        self._path = folder / "keys.db"
        try:
            make_private_folder(folder)
            self._pepper = _pepper(folder)
        except OSError as error:
            raise SettingsError(
                f"the folder {folder} cannot be made or written: {error.strerror}; set another as data_dir"
            ) from error
        self._connection = open_private(self._path, _SCHEMA, what="the keys")
        with self._changing() as db:
            _add_rotated_to(db)
        self._known: dict[str, tuple[ApiKey, bytes]] = {}
        self._version = -1
        self._changes_seen = -1
        self._checked_at = float("-inf")

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def create(
        self,
        *,
        now: float,
        tenant: str = DEFAULT_TENANT,
        name: str = "",
        scopes: Sequence[str] = ALL,
        limits: KeyLimits | None = None,
        expires_at: float | None = None,
        key_id: str = "",
    ) -> tuple[ApiKey, str]:
        """A new key, and the text that opens the door: the only time that it is known.

        With a `key_id` that was chosen before it can be asked again: of a key that is there nobody has seen the text, so it gets
        another.

        Raises:
            SettingsError: a scope or the tenant's name is none.
        """
        self._refresh()
        if key_id in self._known:
            return self._shown_again(key_id)
        unknown = sorted(set(scopes) - set(ALL))
        if unknown:
            raise SettingsError(f"there is no scope {unknown[0]!r}; there are: {', '.join(ALL)}")
        key = ApiKey(
            key_id=key_id or secrets.token_hex(6),
            tenant=checked_tenant(tenant),
            name=name,
            scopes=tuple(sorted(set(scopes))),
            limits=limits or KeyLimits(),
            created_at=now,
            expires_at=expires_at,
        )
        text = _new_text(key)
        with self._changing() as db:
            _insert(db, key, self._hash(text))
        return key, text

    def find(self, text: str, now: float) -> ApiKey:
        """The key that `text` is.

        Raises:
            KeyRefusedError: there is none, or it is no longer valid; the message does not say which.
        """
        if now - self._checked_at >= CHECK_S or now < self._checked_at:
            self._refresh(now)
        parts = text.split("_", 2)
        known = self._known.get(parts[1]) if len(parts) == 3 else None  # prefix, id, secret
        found = self._hash(text)
        if known is None or not hmac.compare_digest(known[1], found) or not known[0].is_valid(now):
            raise KeyRefusedError
        return known[0]

    def get(self, key_id: str, *, tenant: str | None) -> ApiKey:
        """What is known of a key; of one tenant if given.

        Raises:
            NotFoundError: there is none of that id there.
        """
        self._refresh()
        known = self._known.get(key_id)
        if known is None or (tenant is not None and known[0].tenant != tenant):
            raise NotFoundError(f"there is no key {key_id!r}; `agent keys list` shows those there are")
        return known[0]

    def is_valid(self, key_id: str, now: float) -> bool:
        """Whether a key still opens anything; what is known of it is as old as for `find`."""
        if now - self._checked_at >= CHECK_S or now < self._checked_at:
            self._refresh(now)
        known = self._known.get(key_id)
        return known is not None and known[0].is_valid(now)

    def all(self, *, tenant: str | None = None) -> Iterator[ApiKey]:
        """Every key, revoked ones too, the newest last; of one tenant if given."""
        self._refresh()
        for key, _ in sorted(self._known.values(), key=lambda known: known[0].created_at):
            if tenant is None or key.tenant == tenant:
                yield key

    def revoke(self, key_id: str, *, now: float, tenant: str | None) -> ApiKey:
        """End a key; it opens nothing from now on, in other processes within `CHECK_S`. Twice is once.

        Raises:
            NotFoundError: there is none of that id there.
        """
        self.get(key_id, tenant=tenant)
        with self._changing() as db:
            db.execute(
                "UPDATE keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL", (now, key_id)
            )
        return self.get(key_id, tenant=tenant)

    def rotate(
        self, key_id: str, *, now: float, tenant: str | None, grace_s: float = 0.0, new_id: str = ""
    ) -> tuple[ApiKey, str]:
        """Another key in the place of one, which ends after `grace_s` seconds. With a `new_id` that was chosen before it can be
        asked again, as `create` can.

        Raises:
            NotFoundError: there is none of that id there, or it is no longer valid.
        """
        old = self.get(key_id, tenant=tenant)
        if new_id and old.rotated_to == new_id:
            return self._shown_again(new_id)
        if not old.is_valid(now):
            raise NotFoundError(f"key {key_id!r} is no longer valid; make a new one")
        new = msgspec.structs.replace(
            old, key_id=new_id or secrets.token_hex(6), created_at=now, rotated_to=""
        )
        ends_at = now + grace_s if old.expires_at is None else min(now + grace_s, old.expires_at)
        text = _new_text(new)
        with self._changing() as db:
            _insert(db, new, self._hash(text))
            db.execute(
                "UPDATE keys SET expires_at = ?, rotated_to = ? WHERE key_id = ?",
                (ends_at, new.key_id, key_id),
            )
        return new, text

    def _shown_again(self, key_id: str) -> tuple[ApiKey, str]:
        """A key whose text nobody has seen, with another text."""
        key = self.get(key_id, tenant=None)
        text = _new_text(key)
        with self._changing() as db:
            db.execute("UPDATE keys SET hash = ? WHERE key_id = ?", (self._hash(text), key_id))
        return key, text

    def standing(self, key_id: str, *, tenant: str | None) -> ApiKey:
        """The key itself, or the one that is in its place since it was rotated; it may have ended.

        Raises:
            NotFoundError: there is none of that id there.
        """
        key = self.get(key_id, tenant=tenant)
        while key.rotated_to:
            key = self.get(key.rotated_to, tenant=tenant)
        return key

    @property
    def is_empty(self) -> bool:
        """Whether there has never been a key."""
        self._refresh()
        return not self._known

    def tenants(self) -> list[str]:
        """Every tenant that has or had a key."""
        self._refresh()
        return sorted({key.tenant for key, _ in self._known.values()})

    def secret_for(self, purpose: str) -> bytes:
        """A secret of this machine for another purpose, 32 bytes."""
        return blake2b(purpose.encode(), key=self._pepper, digest_size=32).digest()

    def _hash(self, text: str) -> bytes:
        return blake2b(text.encode(), key=self._pepper, digest_size=32).digest()

    @contextmanager
    def _changing(self) -> Generator[sqlite3.Connection]:
        """All of the change, or nothing."""
        try:
            with writing("the keys", self._path), transaction(self._connection):
                yield self._connection
        finally:
            self._version, self._checked_at = -1, float("-inf")  # read at the next look-up

    def _refresh(self, now: float | None = None) -> None:
        """Read the keys that another connection changed, or we did."""
        version = self._read("PRAGMA data_version")[0][0]
        if now is not None:
            self._checked_at = now
        if version == self._version:
            return
        # What is changed between these questions is read now and once more at the next time.
        if self._changes_seen < 0:
            self._changes_seen = self._read("SELECT COALESCE(MAX(number), 0) FROM changes")[0][0]
            rows = self._read("SELECT * FROM keys")
        else:
            changes = self._read("SELECT number, key_id FROM changes WHERE number > ?", self._changes_seen)
            self._changes_seen = max((number for number, _ in changes), default=self._changes_seen)
            changed = {key_id for _, key_id in changes}
            rows = [row for key_id in changed for row in self._read(_ONE, key_id)]
        self._known.update({row[0]: (_key(row), row[5]) for row in rows})
        self._version = version

    def _read(self, query: str, *parameters: object) -> list[Any]:
        with closing(self._connection.execute(query, parameters)) as rows:
            return rows.fetchall()


def _new_text(key: ApiKey) -> str:
    return f"{PREFIX}_{key.key_id}_{secrets.token_urlsafe(32)}"


def _insert(db: sqlite3.Connection, key: ApiKey, hashed: bytes) -> None:
    db.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, '')",
        (
            key.key_id,
            key.tenant,
            key.name,
            " ".join(key.scopes),
            msgspec.json.encode(key.limits).decode(),
            hashed,
            key.created_at,
            key.expires_at,
        ),
    )


def _add_rotated_to(db: sqlite3.Connection) -> None:
    """A file of an older version has no such column."""
    columns = {row[1] for row in db.execute("PRAGMA table_info(keys)")}
    if "rotated_to" not in columns:
        with suppress(sqlite3.OperationalError):  # of two processes that start at once, one is first
            db.execute("ALTER TABLE keys ADD COLUMN rotated_to TEXT NOT NULL DEFAULT ''")


def _key(row: tuple[str, str, str, str, str, bytes, float, float | None, float | None, str]) -> ApiKey:
    return ApiKey(
        key_id=row[0],
        tenant=row[1],
        name=row[2],
        scopes=tuple(row[3].split()),
        limits=msgspec.json.decode(row[4], type=KeyLimits),
        created_at=row[6],
        expires_at=row[7],
        revoked_at=row[8],
        rotated_to=row[9],
    )


def _pepper(folder: Path) -> bytes:
    """The secret of this machine, made at the first start."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    given = Path(credentials) / "agent_pepper" if credentials else None
    if given is not None and given.is_file():
        return blake2b(given.read_bytes(), digest_size=32).digest()
    path = folder / "pepper"
    if not path.exists():
        fresh = folder / f"pepper.{secrets.token_hex(4)}"
        with os.fdopen(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # of two processes that start at once, one is first
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_bytes()
