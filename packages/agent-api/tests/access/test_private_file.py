"""The small files of the daemon's access: whose they are, and how much of them is held in memory."""

import pytest

from agent_api.access.audit import AuditLog
from agent_api.access.private_file import CACHE_KIB, open_private
from agent_api.errors import SettingsError

TABLE = "CREATE TABLE IF NOT EXISTS lines (text TEXT NOT NULL) STRICT"


def test_a_file_is_its_owners_and_little_of_it_is_kept_in_memory(tmp_path):
    path = tmp_path / "lines.db"
    connection = open_private(path, (TABLE,), what="the lines")
    assert path.stat().st_mode & 0o777 == 0o600
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("cache_size", "synchronous")]
    assert found == [-CACHE_KIB, 2]
    connection.close()


def test_a_file_may_forgo_its_last_second_and_overwrite_what_is_deleted(tmp_path):
    connection = open_private(
        tmp_path / "lines.db", (TABLE,), what="the lines", synchronous="NORMAL", secure_delete=True
    )
    names = ("synchronous", "secure_delete")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names] == [1, 1]
    connection.close()


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "audit.db").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SettingsError, match=r"the audit log in .*audit\.db cannot be opened"):
        AuditLog(tmp_path, secret=b"s")
