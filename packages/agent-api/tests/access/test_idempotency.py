"""Idempotency keys: what is sent again is not done again."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import anyio
import msgspec
import pytest

from agent_api.access.attempt import Attempt
from agent_api.access.idempotency import KEEP_S, MAX_NAME_CHARS, Replies, Reply, request_of
from agent_api.errors import (
    AccessUnavailableError,
    IdempotencyError,
    IdempotencyReusedError,
    InvalidRequestError,
)
from agent_core.testing import answer

REPLY = Reply(status=202, headers=[(b"content-type", b"application/json")], body=b"{}")


@pytest.fixture
def replies(tmp_path):
    store = Replies(tmp_path)
    yield store
    store.close()


def asked(name="n", *, key_id="k", path="/a", body=b"x"):
    return request_of(key_id, name, path, body)


def test_a_reply_is_given_again_for_a_day_and_to_its_key_alone(replies):
    attempt = replies.begin(asked(), now=0.0)
    replies.end(asked(), attempt, REPLY, is_refused=False, now=1.0)
    assert replies.begin(asked(), now=2.0) == REPLY
    assert isinstance(replies.begin(asked(key_id="other"), now=2.0), Attempt)
    late = replies.begin(asked(), now=1.0 + KEEP_S)
    assert isinstance(late, Attempt)
    assert not late.is_again
    assert late.stem != attempt.stem


def test_replies_are_erased_while_others_are_kept(replies, tmp_path):
    def erase():
        for number in range(60):
            replies.forget([f"session_{number}"])

    with ThreadPoolExecutor(1) as thread:
        erasing, number = thread.submit(erase), 0
        while not erasing.done():
            now = float(number)
            attempt = replies.begin(asked(f"n{number}"), now=now)
            reply = Reply(status=202, headers=[], body=f'"session_{number}"'.encode())
            replies.end(asked(f"n{number}"), attempt, reply, is_refused=False, now=now)
            for _ in range(20):  # a reply that is read while another is erased
                replies.begin(asked(f"n{number}"), now=now)
                replies._under_way.clear()
            number += 1
        erasing.result()
    replies.forget([f"session_{n}" for n in range(number)])
    assert isinstance(replies.begin(asked("n0"), now=1.0), Attempt)
    assert b"session_" not in (tmp_path / "replies.db").read_bytes()


def test_what_a_streamed_run_was_begun_with_is_erased_with_it(replies):
    attempt = replies.begin(asked(), now=0.0)
    replies.end(asked(), attempt, None, is_refused=False, now=1.0)
    replies.forget([attempt.fixed_id("run")])
    assert not replies.begin(asked(), now=2.0).is_again


def test_a_name_is_for_one_request(replies):
    attempt = replies.begin(asked(), now=0.0)
    with pytest.raises(IdempotencyError, match="under way"):
        replies.begin(asked(), now=0.0)
    replies.end(asked(), attempt, REPLY, is_refused=False, now=1.0)
    for other in (asked(path="/b"), asked(body=b"y")):
        with pytest.raises(IdempotencyReusedError, match="another request"):
            replies.begin(other, now=2.0)
    with pytest.raises(InvalidRequestError, match="characters"):
        replies.begin(asked("n" * (MAX_NAME_CHARS + 1)), now=2.0)


def test_what_was_refused_before_anything_was_begun_leaves_its_name_free(replies):
    attempt = replies.begin(asked(), now=0.0)
    replies.end(asked(), attempt, None, is_refused=True, now=1.0)
    other = replies.begin(asked(body=b"mended"), now=2.0)
    assert not other.is_again


@pytest.mark.parametrize("is_refused", [False, True])
def test_what_may_have_begun_something_is_attempted_again_under_the_same_ids(replies, is_refused):
    """A stream, a fault, a client that went away."""
    first = replies.begin(asked(), now=0.0)
    ids = [first.fixed_id("run"), first.fixed_id("run"), first.fixed_id("session")]
    assert len(set(ids)) == 3
    replies.end(asked(), first, None, is_refused=is_refused, now=1.0)
    again = replies.begin(asked(), now=2.0)
    assert again.is_again
    assert [again.fixed_id("run"), again.fixed_id("run"), again.fixed_id("session")] == ids
    # A refusal of the second attempt does not undo what the first may have begun.
    unused = Attempt(again.stem, is_again=True)
    replies.end(asked(), unused, None, is_refused=True, now=3.0)
    assert replies.begin(asked(), now=4.0).stem == first.stem


def test_another_daemon_finds_under_which_ids_a_request_was_begun(replies, tmp_path):
    begun = replies.begin(asked(), now=0.0)
    with closing(Replies(tmp_path)) as after_a_kill:
        again = after_a_kill.begin(asked(), now=1.0)
        assert (again.stem, again.is_again) == (begun.stem, True)


def test_a_file_of_an_older_version_is_read(tmp_path):
    with closing(sqlite3.connect(tmp_path / "replies.db")) as db:
        db.execute(
            "CREATE TABLE replies (key_id TEXT NOT NULL, name TEXT NOT NULL, request BLOB NOT NULL, at REAL NOT NULL, "
            "reply BLOB NOT NULL, PRIMARY KEY (key_id, name)) STRICT, WITHOUT ROWID"
        )
        row = ("k", "n", asked().digest, 0.0, msgspec.msgpack.encode(REPLY))
        db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?)", row)
        db.commit()
    with closing(Replies(tmp_path)) as replies:
        assert replies.begin(asked(), now=1.0) == REPLY
        assert isinstance(replies.begin(asked("other"), now=1.0), Attempt)


def test_without_room_to_write_the_name_down_nothing_is_begun(replies):
    replies._connection.execute("PRAGMA max_page_count = 1")

    def fill():
        for number in range(10_000):
            replies.begin(asked(f"n{number}"), now=0.0)

    with pytest.raises(AccessUnavailableError):
        fill()


async def test_a_run_is_started_once_however_often_it_is_asked_for(open_serving):
    async with open_serving([answer("hi")]) as (client, daemon):
        client.headers["Authorization"] = f"Bearer {daemon.first_key}"
        headers = {"Idempotency-Key": "one"}
        found = []

        async def ask():
            found.append(await client.post("/api/v1/runs", json={"prompt": "hello"}, headers=headers))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
        await ask()
        assert {reply.status_code for reply in found} <= {202, 409}
        assert len({reply.json()["run_id"] for reply in found if reply.status_code == 202}) == 1
        assert found[-1].headers["idempotent-replayed"] == "true"
        assert len((await client.get("/api/v1/runs")).json()["items"]) == 1
        other = await client.post("/api/v1/runs", json={"prompt": "another"}, headers=headers)
        assert (other.status_code, other.json()["type"]) == (422, "urn:agentd:idempotency-key-reused")
