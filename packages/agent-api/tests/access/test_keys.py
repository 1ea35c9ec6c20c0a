"""Keys: shown once, kept as hashes, revoked at once, also by another process."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from agent_api.access.keys import CHECK_S, DEFAULT_TENANT, KeyLimits, KeyStore
from agent_api.access.scopes import ALL, USER
from agent_api.errors import KeyRefusedError, NotFoundError, SettingsError


@pytest.fixture
def keys(tmp_path):
    store = KeyStore(tmp_path)
    yield store
    store.close()


def test_a_key_is_found_by_its_text_and_by_nothing_else(keys):
    key, text = keys.create(now=1.0, name="laptop", scopes=["runs:read"], limits=KeyLimits(tokens_per_day=5))
    assert keys.find(text, 2.0) == key
    assert (key.tenant, key.scopes, key.limits.tokens_per_day) == (DEFAULT_TENANT, ("runs:read",), 5)
    for wrong in (
        text[:-1],
        text + "=",
        text.swapcase(),
        key.key_id,
        f"ag_{key.key_id}_",
        "",
        "ag__",
        "\udcff",
    ):
        with pytest.raises(KeyRefusedError):
            keys.find(wrong.encode("utf-8", "replace").decode(), 2.0)


def test_no_file_holds_a_key(keys, tmp_path):
    _, text = keys.create(now=1.0)
    keys.close()
    everything = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.encode() not in everything
    assert text.split("_", 2)[2].encode() not in everything


def test_files_are_their_owner_s_alone(keys, tmp_path):
    keys.create(now=1.0)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.suffix in {".db-wal", ".db-shm"}
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600


def test_the_file_is_of_no_use_without_the_pepper(keys, tmp_path):
    _, text = keys.create(now=1.0)
    keys.close()
    (tmp_path / "pepper").write_bytes(os.urandom(32))
    other = KeyStore(tmp_path)
    with pytest.raises(KeyRefusedError):
        other.find(text, 2.0)
    other.close()


def test_a_key_ends_when_it_expires(keys):
    _, text = keys.create(now=1.0, expires_at=10.0)
    assert keys.find(text, 9.9)
    with pytest.raises(KeyRefusedError):
        keys.find(text, 10.0)


def test_a_revoked_key_is_refused_at_once_here_and_within_the_check_elsewhere(keys, tmp_path):
    key, text = keys.create(now=1.0)
    elsewhere = KeyStore(tmp_path)
    assert elsewhere.find(text, 2.0) == key
    assert keys.find(text, 2.0) == key
    assert keys.revoke(key.key_id, now=3.0, tenant=None).revoked_at == 3.0
    assert keys.revoke(key.key_id, now=4.0, tenant=None).revoked_at == 3.0
    with pytest.raises(KeyRefusedError):
        keys.find(text, 3.0)
    with pytest.raises(KeyRefusedError):
        elsewhere.find(text, 2.0 + CHECK_S)
    elsewhere.close()


def test_a_rotated_key_lives_on_for_its_grace(keys):
    old, old_text = keys.create(now=1.0, scopes=["runs:read"], tenant="acme")
    new, new_text = keys.rotate(old.key_id, now=10.0, tenant="acme", grace_s=5.0)
    assert (new.scopes, new.tenant, new.key_id != old.key_id) == (old.scopes, "acme", True)
    assert keys.find(old_text, 14.0)
    assert keys.find(new_text, 1_000.0) == new
    with pytest.raises(KeyRefusedError):
        keys.find(old_text, 15.0)
    with pytest.raises(NotFoundError):
        keys.rotate(old.key_id, now=20.0, tenant="acme")


def test_a_tenant_sees_its_own_keys_alone(keys):
    mine, _ = keys.create(now=1.0, tenant="mine")
    theirs, _ = keys.create(now=2.0, tenant="theirs")
    assert [key.key_id for key in keys.all(tenant="mine")] == [mine.key_id]
    assert keys.tenants() == ["mine", "theirs"]
    for change in (keys.revoke, keys.rotate):
        with pytest.raises(NotFoundError):
            change(theirs.key_id, now=3.0, tenant="mine")
    with pytest.raises(NotFoundError):
        keys.get(theirs.key_id, tenant="mine")


@pytest.mark.parametrize("tenant", ["", "..", "a/b", "A", "-a", "a" * 64, "ä", "a b"])
def test_a_tenant_s_name_is_that_of_a_folder(keys, tenant):
    with pytest.raises(SettingsError, match="no name for a tenant"):
        keys.create(now=1.0, tenant=tenant)


def test_an_unknown_scope_is_refused(keys):
    with pytest.raises(SettingsError, match="'runs:everything'"):
        keys.create(now=1.0, scopes=["runs:everything"])


def test_what_administers_is_not_given_without_being_named():
    assert set(ALL) - set(USER) == {
        "keys:admin",
        "skills:admin",
        "audit:read",
        "metrics:read",
        "tenants:admin",
    }


def test_a_store_knows_whether_there_was_ever_a_key(keys):
    assert keys.is_empty
    key, _ = keys.create(now=1.0)
    keys.revoke(key.key_id, now=2.0, tenant=None)
    assert not keys.is_empty


def test_a_change_among_many_keys_reads_the_changed_one_alone(keys, tmp_path):
    texts = [keys.create(now=1.0)[1] for _ in range(5)]
    elsewhere = KeyStore(tmp_path)
    assert elsewhere.find(texts[0], 2.0)
    read = []
    elsewhere._connection.set_trace_callback(read.append)
    keys.revoke(texts[1].split("_")[1], now=2.0, tenant=None)
    _, added = keys.create(now=2.0)
    assert elsewhere.find(added, 3.0)
    with pytest.raises(KeyRefusedError):
        elsewhere.find(texts[1], 3.0)
    assert len([query for query in read if "FROM keys" in query]) == 2
    assert all("WHERE key_id" in query for query in read if "FROM keys" in query)
    assert elsewhere.find(texts[4], 3.0)
    elsewhere.close()


def test_keys_of_before_changes_were_noted_are_known(keys, tmp_path):
    key, text = keys.create(now=1.0)
    for statement in ("DROP TRIGGER added", "DROP TRIGGER changed", "DROP TABLE changes"):
        keys._connection.execute(statement)
    keys.close()
    again = KeyStore(tmp_path)
    assert again.find(text, 2.0) == key
    again.revoke(key.key_id, now=3.0, tenant=None)
    with pytest.raises(KeyRefusedError):
        again.find(text, 4.0)
    again.close()


def test_a_rotated_key_is_stood_in_for_and_a_file_of_before_can_be_read(keys, tmp_path):
    key, text = keys.create(now=1.0)
    new, _ = keys.rotate(key.key_id, now=2.0, tenant=None, grace_s=10)
    assert keys.get(key.key_id, tenant=None).rotated_to == new.key_id
    assert keys.standing(key.key_id, tenant=None) == new
    assert keys.standing(new.key_id, tenant=None) == new
    keys.close()
    with closing(sqlite3.connect(tmp_path / "keys.db")) as db:
        db.execute("ALTER TABLE keys DROP COLUMN rotated_to")
    again = KeyStore(tmp_path)
    assert again.find(text, 3.0).rotated_to == ""
    again.close()
