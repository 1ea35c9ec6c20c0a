"""The audit log: in order, on disk, and no line can be changed or taken out unnoticed."""

import sqlite3

import anyio
import anyio.lowlevel
import pytest

from agent_api.access.audit import MAX_PENDING, AuditLog, Entry
from agent_api.errors import RateLimitedError

SECRET = bytes(32)


def entry(number, tenant="t"):
    return Entry(at=float(number), tenant=tenant, key_id="k", action=f"POST /{number}", status=200)


@pytest.fixture
async def written(tmp_path):
    """A log with ten entries, and the path of its file."""
    log = AuditLog(tmp_path, secret=SECRET)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.keep)
        for number in range(10):
            log.note(entry(number, tenant="even" if number % 2 == 0 else "odd"))
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()  # what is noted is written even then
    yield log, tmp_path / "audit.db"
    log.close()


async def test_entries_are_read_in_order_and_of_one_tenant(written):
    log, _ = written
    assert [number for number, _ in log.entries(tenant=None)] == list(range(1, 11))
    assert [one.action for _, one in log.entries(tenant="odd", after=2, limit=2)] == ["POST /3", "POST /5"]
    assert log.verify() is None


@pytest.mark.parametrize(
    ("damage", "first"),
    [
        ("UPDATE audit SET entry = replace(entry, '/4', '/0') WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("UPDATE audit SET number = 11 WHERE number = 2", 2),
        ("UPDATE audit SET chain = zeroblob(32) WHERE number = 10", 10),
    ],
)
async def test_whatever_was_changed_is_found(written, damage, first):
    log, path = written
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    assert log.verify() == first


async def test_the_chain_goes_on_after_a_restart(written, tmp_path):
    log, _ = written
    again = AuditLog(tmp_path, secret=SECRET)
    again.note(entry(10))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(again.keep)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert (again.verify(), log.verify()) == (None, None)
    assert len(list(again.entries(tenant=None))) == 11
    again.close()


def test_nothing_is_done_unwatched(tmp_path):
    log = AuditLog(tmp_path, secret=SECRET)
    for number in range(MAX_PENDING):
        log.check()
        log.note(entry(number))
    with pytest.raises(RateLimitedError, match="audit log"):
        log.check()
    log.close()
