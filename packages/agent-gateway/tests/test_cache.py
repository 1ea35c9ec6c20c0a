"""Replies on disk; what a stranger puts into the database does not run."""

import pickle
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType

import anyio
import msgspec
import pytest

from agent_core.chat import CallContext, Choice, Completion, ModelRequest
from agent_core.messages import FinishReason, Message, Reasoning, Text, Usage, user
from agent_core.tools import ToolCall, ToolSpec
from agent_gateway.cache import ResponseCache, replayed, request_key

NOW = 1_700_000_000.0
KEY = "0" * 40
MESSAGE = Message(
    role="assistant",
    parts=(
        Reasoning(text="hm", signature="s"),
        Text(text="héllo"),
        ToolCall(tool_call_id="c1", name="t", arguments={"a": [1, {"b": None}]}),
        ToolCall(tool_call_id="c2", name="t", arguments={}, malformed="{"),
    ),
)
REPLY = Completion(
    message=MESSAGE,
    model="m",
    finish_reason=FinishReason.TOOL_CALLS,
    usage=Usage(input_tokens=5, cost_usd=0.1),
)


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[ResponseCache]:
    opened = ResponseCache(tmp_path / "cache", ttl_s=100.0)
    yield opened
    await opened.aclose()


async def test_a_reply_comes_back_as_it_was(cache: ResponseCache) -> None:
    assert cache.get(KEY, NOW) is None
    await cache.put(KEY, REPLY, NOW)
    assert cache.get(KEY, NOW) == REPLY
    assert (cache.hits, cache.misses, cache.failures) == (1, 1, 0)


async def test_another_process_finds_it(cache: ResponseCache, tmp_path: Path) -> None:
    await cache.put(KEY, REPLY, NOW)
    await cache.aclose()
    other = ResponseCache(tmp_path / "cache")
    assert other.get(KEY, NOW) == REPLY
    await other.aclose()
    await other.aclose()


async def test_it_is_good_for_a_while(cache: ResponseCache) -> None:
    await cache.put(KEY, REPLY, NOW)
    assert cache.get(KEY, NOW + 100) is not None
    assert cache.get(KEY, NOW + 101) is None
    assert cache.get(KEY, NOW - 1) is None, "a clock that went back"


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.CANCELLED])
async def test_what_is_not_whole_is_not_kept(cache: ResponseCache, reason: FinishReason) -> None:
    await cache.put(KEY, msgspec.structs.replace(REPLY, finish_reason=reason), NOW)
    assert cache.get(KEY, NOW) is None


def test_a_kept_reply_as_a_stream() -> None:
    *deltas, last = replayed(REPLY)
    assert [type(delta).__name__ for delta in deltas] == [
        "ReasoningDelta",
        "TextDelta",
        "ToolCallDelta",
        "ToolCallDelta",
    ]
    assert isinstance(last, Completion)
    assert last.message == MESSAGE
    assert last.usage == Usage(cost_usd=0.0), "this time nothing was spent"
    assert [getattr(delta, "arguments", None) for delta in deltas[2:]] == ['{"a":[1,{"b":null}]}', "{"]


REQUEST = ModelRequest(messages=(user("hi"),), temperature=0.5)
TOOL = ToolSpec(name="t", description="", parameters=MappingProxyType({"type": "object"}))
SAME = {
    "itself": REQUEST,
    "a list for a tuple": ModelRequest(messages=[user("hi")], temperature=0.5),
    "another session, key and deadline": ModelRequest(
        messages=(user("hi"),),
        temperature=0.5,
        context=CallContext(session_id="s", key_id="k", deadline=5.0, idempotency_key="i"),
    ),
}
OTHER = {
    "text": ModelRequest(messages=(user("ho"),), temperature=0.5),
    "temperature": ModelRequest(messages=(user("hi"),)),
    "tools": ModelRequest(messages=(user("hi"),), temperature=0.5, tools=(TOOL,)),
    "constraint": ModelRequest(messages=(user("hi"),), temperature=0.5, constraint=Choice(values=("a",))),
    "tenant": ModelRequest(messages=(user("hi"),), temperature=0.5, context=CallContext(tenant="t")),
}


def test_equal_requests_have_one_key() -> None:
    key = request_key(REQUEST, scope="m")
    for name, request in SAME.items():
        assert request_key(request, scope="m") == key, name
    keys = {request_key(request, scope="m") for request in OTHER.values()} | {
        key,
        request_key(REQUEST, scope="n"),
    }
    assert len(keys) == len(OTHER) + 2


def test_the_order_of_arguments_makes_no_difference() -> None:
    def asked(arguments: dict[str, object]) -> ModelRequest:
        call = ToolCall(tool_call_id="c", name="t", arguments=arguments)
        return ModelRequest(messages=(Message(role="assistant", parts=(call,)),))

    one, other = asked({"a": 1, "b": 2}), asked({"b": 2, "a": 1})
    assert request_key(one, scope="m") == request_key(other, scope="m")


class Planted:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


RAW, BINARY, TEXT, PICKLE = 1, 2, 3, 4


def plant(
    folder: Path, key: str | bytes, *, raw: int, mode: int, filename: str | None, value: object
) -> None:
    with sqlite3.connect(folder / "cache.db") as database:
        database.execute("DELETE FROM Cache")
        database.execute(
            "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, size, mode, filename, value)"
            " VALUES (?, ?, 0, NULL, 0, 0, 0, ?, ?, ?)",
            (key, raw, mode, filename, value),
        )
    database.close()


@pytest.mark.parametrize("place", ["row", "file"])
async def test_a_planted_pickle_does_not_run(cache: ResponseCache, tmp_path: Path, place: str) -> None:
    await cache.put(KEY, REPLY, NOW)
    bomb, trace = pickle.dumps(Planted(tmp_path / "ran")), tmp_path / "ran"
    folder = tmp_path / "cache"
    (folder / "bomb.val").write_bytes(bomb)
    value, filename = (bomb, None) if place == "row" else (None, "bomb.val")
    plant(folder, KEY, raw=1, mode=PICKLE, filename=filename, value=value)
    assert cache.get(KEY, NOW) is None
    assert not trace.exists()
    # The same row does run where nobody takes care: the test plants what it says.
    careless = f"import diskcache; diskcache.Cache({str(folder)!r}).get({KEY!r})"
    await anyio.run_process([sys.executable, "-c", careless])
    assert trace.exists()


@pytest.mark.parametrize(
    ("mode", "filename", "value"),
    [
        (RAW, None, "text"),
        (RAW, None, 5),
        (RAW, None, b"no msgpack"),
        (RAW, None, msgspec.msgpack.encode([NOW, {"message": 1}])),
        (RAW, None, None),
        (BINARY, "../secret", None),
        (TEXT, "../secret", None),
        (99, None, b"x"),
    ],
)
async def test_a_strange_row_is_a_miss(
    cache: ResponseCache, tmp_path: Path, mode: int, filename: str | None, value: object
) -> None:
    (tmp_path / "secret").write_text("secret")
    await cache.put(KEY, REPLY, NOW)
    plant(tmp_path / "cache", KEY, raw=1, mode=mode, filename=filename, value=value)
    assert cache.get(KEY, NOW) is None
    await cache.put(KEY, REPLY, NOW)
    assert cache.get(KEY, NOW) == REPLY
    assert (tmp_path / "secret").exists(), "a file that a row names is not ours to delete"


async def test_a_planted_key_is_not_read(cache: ResponseCache, tmp_path: Path) -> None:
    await cache.put(KEY, REPLY, NOW)
    plant(
        tmp_path / "cache",
        pickle.dumps(Planted(tmp_path / "ran")),
        raw=0,
        mode=RAW,
        filename=None,
        value=b"x",
    )
    assert cache.get(KEY, NOW) is None
    with pytest.raises(OSError):
        list(iter(cache._ready()))  # type: ignore[call-overload]
    assert not (tmp_path / "ran").exists()


async def test_a_cache_that_is_none_is_a_miss(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "cache.db").write_bytes(b"no database" * 1_000)
    cache = ResponseCache(tmp_path / "cache")
    assert cache.get(KEY, NOW) is None
    await cache.put(KEY, REPLY, NOW)
    assert cache.failures == 2
    await cache.aclose()
    nowhere = ResponseCache(tmp_path / "cache" / "cache.db" / "below")
    assert nowhere.get(KEY, NOW) is None
    assert nowhere.failures == 1


async def test_the_oldest_go(tmp_path: Path) -> None:
    small = ResponseCache(tmp_path / "cache", size_limit_bytes=200_000)
    large = msgspec.structs.replace(
        REPLY, message=Message(role="assistant", parts=(Text(text="x" * 20_000),))
    )
    for number in range(60):
        await small.put(f"k{number}", large, NOW)
    assert small.get("k59", NOW) is not None
    assert small.get("k0", NOW) is None
    await small.aclose()
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) < 2_000_000


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import sys, agent_gateway.router; print('diskcache' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
