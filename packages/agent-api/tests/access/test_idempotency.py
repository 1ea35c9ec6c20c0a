"""Idempotency keys: what is sent again is not done again."""

from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from agent_api.access.idempotency import KEEP_S, MAX_NAME_CHARS, Replies, Reply
from agent_api.errors import IdempotencyError
from agent_core.testing import answer

REPLY = Reply(status=202, headers=[(b"content-type", b"application/json")], body=b"{}")


@pytest.fixture
def replies(tmp_path):
    store = Replies(tmp_path)
    yield store
    store.close()


def test_a_reply_is_given_again_for_a_day_and_to_its_key_alone(replies):
    ask = {"path": "/a", "body": b"x"}
    assert replies.begin("k", "n", now=0.0, **ask) is None
    replies.end("k", "n", now=1.0, reply=REPLY, **ask)
    assert replies.begin("k", "n", now=2.0, **ask) == REPLY
    assert replies.begin("other", "n", now=2.0, **ask) is None
    assert replies.begin("k", "n", now=1.0 + KEEP_S, **ask) is None


def test_replies_are_erased_while_others_are_kept(replies, tmp_path):
    def erase():
        for number in range(60):
            replies.forget([f"session_{number}"])

    with ThreadPoolExecutor(1) as thread:
        erasing, number = thread.submit(erase), 0
        while not erasing.done():
            ask = {"path": "/a", "body": b"x", "now": float(number)}
            assert replies.begin("k", f"n{number}", **ask) is None
            reply = Reply(status=202, headers=[], body=f'"session_{number}"'.encode())
            replies.end("k", f"n{number}", reply=reply, **ask)
            for _ in range(20):  # a reply that is read while another is erased
                replies.begin("k", f"n{number}", **ask)
                replies._under_way.clear()
            number += 1
        erasing.result()
    replies.forget([f"session_{n}" for n in range(number)])
    assert replies.begin("k", "n0", path="/a", body=b"x", now=1.0) is None
    assert b"session_" not in (tmp_path / "replies.db").read_bytes()


def test_a_name_is_for_one_request(replies):
    replies.begin("k", "n", path="/a", body=b"x", now=0.0)
    with pytest.raises(IdempotencyError, match="under way"):
        replies.begin("k", "n", path="/a", body=b"x", now=0.0)
    replies.end("k", "n", path="/a", body=b"x", now=1.0, reply=REPLY)
    for path, body in (("/b", b"x"), ("/a", b"y")):
        with pytest.raises(IdempotencyError, match="another request"):
            replies.begin("k", "n", path=path, body=body, now=2.0)
    with pytest.raises(IdempotencyError, match="characters"):
        replies.begin("k", "n" * (MAX_NAME_CHARS + 1), path="/a", body=b"x", now=2.0)


@pytest.mark.parametrize("reply", [None, Reply(status=503, headers=[], body=b"")])
def test_a_fault_of_ours_or_a_stream_may_be_asked_for_again(replies, reply):
    ask = {"path": "/a", "body": b"x"}
    replies.begin("k", "n", now=0.0, **ask)
    replies.end("k", "n", now=1.0, reply=reply, **ask)
    assert replies.begin("k", "n", now=2.0, **ask) is None


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
        assert (other.status_code, other.json()["type"]) == (409, "urn:agentd:idempotency-key")
