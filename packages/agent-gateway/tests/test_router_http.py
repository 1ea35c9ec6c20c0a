"""The router over the real client, against servers on loopback that do what providers do at their worst."""

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest

from agent_core.chat import CallContext, Completion, ModelRequest, TextDelta
from agent_core.errors import ModelError
from agent_core.messages import Usage, user
from agent_core.testing import VirtualClock
from agent_gateway.breaker import BreakerPolicy
from agent_gateway.catalog import connect
from agent_gateway.errors import (
    DeadlineExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RoutesExhaustedError,
)
from agent_gateway.hedging import HedgePolicy
from agent_gateway.pricing import Price, PriceTable
from agent_gateway.retry import RetryPolicy
from agent_gateway.router import Router
from agent_gateway.standing import Attempt

HELLO = ModelRequest(messages=(user("hi"),))
DEAD = "http://127.0.0.1:9/v1"


def model(base_url: str, name: str = "m") -> Any:
    return connect(f"openai:{name}", base_url=base_url, api_key="k", server="compatible")


async def ask(router: Router, request: ModelRequest = HELLO) -> list[Any]:
    return [item async for item in router.stream(request)]


@pytest.fixture
async def another(server: Any) -> AsyncIterator[Any]:
    """A second server."""
    async with type(server)().serving() as running:
        yield running


@pytest.fixture
def fine(make_script: Any, make_sse: Any, make_delta: Any) -> Any:
    return make_script(make_sse(make_delta(content="fine"), make_delta("stop")))


def broken(
    make_script: Any, status: int, body: bytes = b'{"error": {"message": "no"}}', **headers: str
) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_script(body, status=status, content_type="application/json", headers=named)


BODY_HINT = (
    b'{"error": {"message": "Rate limit reached. Please try again in 30s.", "code": "rate_limit_exceeded"}}'
)
GEMINI_HINT = b'{"error": {"code": 429, "message": "slow", "details": [{"retryDelay": "30s"}]}}'


def limits(make_script: Any, kind: str) -> Any:
    """A 429 that asks for half a minute, each in another way."""
    match kind:
        case "seconds":
            return broken(make_script, 429, retry_after="30")
        case "milliseconds":
            return broken(make_script, 429, retry_after_ms="30000")
        case "date":
            return broken(make_script, 429, retry_after=formatdate(time.time() + 31, usegmt=True))
        case "body":
            return broken(make_script, 429, BODY_HINT)
        case _:
            return broken(make_script, 429, GEMINI_HINT)


LIMITS = ("seconds", "milliseconds", "date", "body", "body as Gemini's")


@pytest.mark.parametrize("kind", LIMITS)
async def test_a_limit_sends_the_request_on_and_is_kept_to(
    server: Any, another: Any, make_script: Any, fine: Any, kind: str
) -> None:
    server.say(limits(make_script, kind), fine)
    another.say(fine)
    clock = VirtualClock()
    async with Router([model(server.base_url), model(another.base_url)], clock=clock) as router:
        for _ in range(3):
            assert (await ask(router))[-1].message.text == "fine"
        assert (len(server.requests), len(another.requests)) == (1, 3)
        clock.advance(31)
        await ask(router)
    assert len(server.requests) == 2


@pytest.mark.parametrize("kind", LIMITS)
async def test_a_limit_of_the_only_route_is_waited_for(
    server: Any, make_script: Any, fine: Any, kind: str
) -> None:
    server.say(limits(make_script, kind), fine)
    clock = VirtualClock()
    started = clock.now()
    async with Router([model(server.base_url)], clock=clock) as router:
        assert (await ask(router))[-1].message.text == "fine"
    assert 29 <= clock.now() - started <= 31
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 429, 500, 502, 503, 529])
async def test_a_status_that_another_route_may_not_give(
    server: Any, another: Any, make_script: Any, fine: Any, status: int
) -> None:
    server.say(broken(make_script, status))
    another.say(fine)
    async with Router([model(server.base_url), model(another.base_url)]) as router:
        assert (await ask(router))[-1].message.text == "fine"
    assert (len(server.requests), len(another.requests)) == (1, 1)


async def test_a_request_that_is_wrong_is_asked_of_nobody_else(
    server: Any, another: Any, make_script: Any, fine: Any
) -> None:
    server.say(broken(make_script, 400))
    another.say(fine)
    async with Router([model(server.base_url), model(another.base_url)]) as router:
        with pytest.raises(ProviderRefusedError):
            await ask(router)
    assert another.requests == []


async def test_nobody_is_there(server: Any, fine: Any) -> None:
    server.say(fine)
    async with Router([model(DEAD), model(server.base_url)]) as router:
        assert (await ask(router))[-1].message.text == "fine"
    quick = RetryPolicy(attempts=2, base_s=0.01)
    async with Router([model(DEAD, "a"), model(DEAD, "b")], retry=quick) as router:
        with pytest.raises(RoutesExhaustedError, match=r"openai:a.*openai:b"):
            await ask(router)


async def test_a_provider_that_hangs_before_its_first_word(
    server: Any, another: Any, make_script: Any, make_sse: Any, make_delta: Any, fine: Any
) -> None:
    server.say(make_script(make_sse(make_delta(role="assistant", content=""), done=False), None))
    another.say(fine)
    async with Router([model(server.base_url), model(another.base_url)], first_word_timeout_s=1) as router:
        with anyio.fail_after(30):
            assert (await ask(router))[-1].message.text == "fine"
    with anyio.fail_after(30):
        await server.hung_up.wait()


@pytest.mark.parametrize("how", ["cut", "error", "no event stream"])
async def test_a_stream_that_ends_before_its_first_word(
    server: Any, another: Any, make_script: Any, make_sse: Any, make_delta: Any, fine: Any, how: str
) -> None:
    start = make_delta(role="assistant", content="")
    match how:
        case "cut":
            server.say(make_script(make_sse(start, done=False)))
        case "error":
            error = {"error": {"message": "overloaded", "code": 529}}
            server.say(make_script(make_sse(start, error, done=False)))
        case _:
            server.say(make_script(b"<html>busy</html>", content_type="text/html"))
    another.say(fine)
    async with Router([model(server.base_url), model(another.base_url)]) as router:
        assert (await ask(router))[-1].message.text == "fine"


async def test_a_stream_that_breaks_off_after_its_first_word_is_not_begun_anew(
    server: Any, another: Any, make_script: Any, make_sse: Any, make_delta: Any, fine: Any
) -> None:
    server.say(make_script(make_sse(make_delta(content="once"), done=False)))
    another.say(fine)
    seen: list[Any] = []
    async with Router([model(server.base_url), model(another.base_url)]) as router:
        stream = router.stream(HELLO)
        seen.append(await anext(stream))
        with pytest.raises(ProviderUnavailableError):
            await anext(stream)
    assert seen == [TextDelta("once")]
    assert another.requests == []


async def test_a_dead_provider_is_left_alone(server: Any, another: Any, make_script: Any, fine: Any) -> None:
    server.say(broken(make_script, 500))
    another.say(fine)
    clock = VirtualClock()
    router = Router(
        [model(server.base_url), model(another.base_url)],
        breaker=BreakerPolicy(failures=3, open_s=30),
        clock=clock,
    )
    async with router:
        for _ in range(20):
            await ask(router)
        assert len(server.requests) == 3
        server.say(fine)
        clock.advance(31)
        for _ in range(5):
            await ask(router)
    assert len(server.requests) == 8


async def test_a_slow_provider_is_raced(
    server: Any, another: Any, make_script: Any, make_sse: Any, make_delta: Any, fine: Any
) -> None:
    server.say(make_script(make_sse(make_delta(role="assistant", content=""), done=False), None))
    another.say(fine)
    told: list[Attempt] = []
    router = Router(
        [model(server.base_url), model(another.base_url)],
        hedge=HedgePolicy(after_s=0.05),
        on_attempt=told.append,
    )
    async with router:
        with anyio.fail_after(30):
            assert (await ask(router))[-1].message.text == "fine"
            await server.hung_up.wait()
    assert {one.outcome.value for one in told} == {"answered", "abandoned"}


async def test_a_deadline_ends_a_slow_stream(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    piece = make_sse(make_delta(content="x"), done=False)
    server.say(make_script(*(step for _ in range(100) for step in (piece, 0.05))))
    request = ModelRequest(messages=(user("hi"),), context=CallContext(deadline=time.time() + 0.4))
    async with Router([model(server.base_url)]) as router:
        with anyio.fail_after(30), pytest.raises(DeadlineExceededError):
            await ask(router, request)
    with anyio.fail_after(30):
        await server.hung_up.wait()


async def test_what_the_wire_says_is_priced(
    server: Any, make_script: Any, make_sse: Any, make_delta: Any
) -> None:
    usage = {
        "prompt_tokens": 1_000,
        "completion_tokens": 300,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    server.say(make_script(make_sse(make_delta("stop", content="a"), {"choices": [], "usage": usage})))
    prices = PriceTable({"openai:m": [Price(since="2020-01-01", input=10.0, cached_input=1.0, output=100.0)]})
    async with Router([model(server.base_url)], prices=prices) as router:
        completion = (await ask(router))[-1]
    assert completion.usage == Usage(
        input_tokens=600,
        cached_input_tokens=400,
        output_tokens=200,
        reasoning_tokens=100,
        cost_usd=pytest.approx((600 * 10 + 400 * 1 + 300 * 100) / 1e6),
    )


class ManyFaces:
    """A server that answers each request in another way: right away, in pieces, with an error, or by hanging up."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                self.count += 1
                match self.count % 10:
                    case 0:
                        writer.transport.abort()
                        return
                    case 1:
                        self._error(writer, 503)
                    case 2:
                        self._error(writer, 429)
                    case _:
                        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                        writer.write(b"transfer-encoding: chunked\r\n\r\n")
                        for piece in self.pieces:
                            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                        writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    @staticmethod
    def _error(writer: asyncio.StreamWriter, status: int) -> None:
        body = json.dumps({"error": {"message": "no"}}).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status)
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))


def memory_mb() -> float:
    """What this process holds."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.slow
async def test_ten_thousand_calls_leave_memory_flat(make_sse: Any, make_delta: Any) -> None:
    """Errors, hang-ups, early closes, deadlines and all: about half a minute."""
    pieces = [make_sse(make_delta(content="a"), done=False), make_sse(make_delta("stop"))]
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for _ in range(2):
            listener = await asyncio.start_server(ManyFaces(pieces).serve, "127.0.0.1", 0)
            stack.callback(listener.close)
            urls.append(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1")
        router = Router(
            [model(url) for url in urls],
            retry=RetryPolicy(base_s=0.001),
            breaker=BreakerPolicy(failures=50),
            first_word_timeout_s=10.0,
        )
        await stack.enter_async_context(router)

        async def one(number: int) -> bool:
            context = CallContext(session_id=f"s{number}", deadline=time.time() + 60)
            stream = router.stream(ModelRequest(messages=(user(f"hi {number}"),), context=context))
            try:
                async for item in stream:
                    if number % 7 == 0 or isinstance(item, Completion):
                        return True
            except ModelError:
                return False
            finally:
                await stream.aclose()
            return False

        async def many(first: int, count: int) -> int:
            answered = 0
            for start in range(first, first + count, 20):
                answered += sum(await asyncio.gather(*(one(number) for number in range(start, start + 20))))
            return answered

        await many(0, 2_000)
        before = memory_mb()
        assert await many(2_000, 10_000) > 9_900
        after = memory_mb()
        assert [standing.in_flight for standing in router._standings] == [0, 0]
    assert after - before < 4.0, f"{before:.1f} MB became {after:.1f} MB"


@pytest.mark.model
async def test_where_no_provider_is_reached_the_embedded_model_answers(weights: Path) -> None:
    pytest.importorskip("xllamacpp")
    request = ModelRequest(messages=(user("Say hello."),), max_output_tokens=4)
    async with Router([model(DEAD), connect("local")]) as router:
        completion = (await ask(router, request))[-1]
    assert completion.message.text
    assert completion.usage.cost_usd == 0.0
