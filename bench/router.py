"""What routing costs in CPU over the bare client: a call, a chunk, a fallback, a kept reply, a shared one. `--json`.

Ours and the bare model take turns in one process, and the best round of each counts; what a router adds is the
difference. With `--peers` LiteLLM's Router is measured beside its own bare call, in an environment of its own.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

from figures import Figure, print_figures
from peers.environments import Environments, NotMeasuredError, Peer

from agent_core.chat import CallContext, Completion, Delta, ModelProfile, ModelRequest, TextDelta
from agent_core.messages import Usage, assistant, user
from agent_core.ports import ChatModel
from agent_gateway import (
    Balance,
    BreakerPolicy,
    Budget,
    Budgets,
    HedgePolicy,
    RateLimits,
    ResponseCache,
    Route,
    Router,
    connect,
)
from agent_gateway.errors import ProviderUnavailableError

CALLS, CHUNKS, ROUNDS = 2_000, 1_000, 7
HTTP_CALLS = 200
LITELLM = Peer("litellm_router", "litellm==1.106.2")
REQUEST = ModelRequest(
    messages=[user("What is the weather like in Lisbon today?")],
    max_output_tokens=100,
    context=CallContext(tenant="t", key_id="k", session_id="s"),
)
DOWN = ProviderUnavailableError("far away", "overloaded", status=529)

Work = Callable[[], Awaitable[object]]


class Spoken:
    """A model that says so many words at once, or fails."""

    def __init__(self, words: int = 1, *, fails: bool = False) -> None:
        self.profile = ModelProfile(name="local:spoken")
        self._items = [TextDelta("word")] * words
        self._fails = fails
        self._last = Completion(
            message=assistant("word" * words), model="m", usage=Usage(input_tokens=9, output_tokens=words)
        )

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:  # noqa: ARG002
        if self._fails:
            raise DOWN
        for item in self._items:
            yield item
        yield self._last

    async def aclose(self) -> None:
        pass


async def drain(model: ChatModel, request: ModelRequest = REQUEST) -> None:
    async for _ in model.stream(request):
        pass


async def cpu_us(work: Work, times: int) -> float:
    """CPU microseconds of this process for one `work`, threads included."""
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) / times * 1e6


async def best_of(works: Sequence[Work], times: int) -> list[float]:
    """The best round of each, taking turns, after a warm-up."""
    rounds = [[await cpu_us(work, times) for work in works] for _ in range(ROUNDS + 1)]
    return [min(values) for values in zip(*rounds[1:], strict=True)]


def full(*models: ChatModel) -> Router:
    """Everything on that costs something on each call."""
    limits = RateLimits(requests_per_minute=10**9, tokens_per_minute=10**12, concurrency=1_000)
    return Router(
        [Route(model=model, limits=limits) for model in models],
        balance=Balance.STICKY,
        budgets=Budgets(tenants={"*": Budget(cost_usd=1e12)}, keys={"*": Budget(tokens=10**15)}),
        on_attempt=lambda _: None,
    )


async def in_process() -> list[Figure]:
    """Over models that cost next to nothing themselves."""
    bare, router, everything = Spoken(), Router([Spoken(), Spoken()]), full(Spoken(), Spoken())
    # A breaker that never opens: else the one that fails would soon be spared.
    falling = Router([Spoken(fails=True), Spoken()], breaker=BreakerPolicy(failures=10**9))
    call, routed, routed_fully, fell = await best_of(
        [lambda: drain(bare), lambda: drain(router), lambda: drain(everything), lambda: drain(falling)], CALLS
    )
    long, long_router = Spoken(CHUNKS), Router([Spoken(CHUNKS)])
    streamed, streamed_routed = await best_of([lambda: drain(long), lambda: drain(long_router)], 20)
    return [
        Figure("router.call_overhead_cpu", routed - call, "us", "<= 60"),
        Figure("router.call_overhead_cpu.everything_on", routed_fully - call, "us", "<= 150"),
        Figure("router.fallback_cpu", fell - routed, "us", "<= 100"),
        Figure("router.chunk_overhead_cpu", (streamed_routed - streamed) / CHUNKS, "us", "<= 1"),
    ]


async def sharing(folder: Path) -> list[Figure]:
    """A kept reply, keeping one, and one run for many callers."""
    cached = Router([Spoken(20)], cache=ResponseCache(folder))
    await drain(cached)
    counted = iter(range(10**9))

    def another() -> ModelRequest:
        return ModelRequest(messages=[user(f"question {next(counted)}")])

    hit, kept = await best_of([lambda: drain(cached), lambda: drain(cached, another())], 300)
    (bare,) = await best_of([lambda: drain(Spoken(20))], 300)
    shared, alone = Router([Spoken(20)], single_flight=True), Router([Spoken(20)])
    together = 20

    async def many(router: Router) -> None:
        await asyncio.gather(*(drain(router) for _ in range(together)))

    flying, single = await best_of([lambda: many(shared), lambda: many(alone)], 30)
    await cached.aclose()
    return [
        Figure("router.cache_hit_cpu", hit, "us", "<= 200"),
        Figure("router.cache_keep_cpu", kept - bare, "us", "<= 1500"),
        Figure(
            "router.single_flight_cpu_a_caller",
            flying / together,
            "us",
            "<= 150",
            {"each alone": round(single / together, 1)},
        ),
    ]


async def hedged() -> list[Figure]:
    """A call whose route would be raced and is not: it answers at once."""
    router, plain = Router([Spoken(), Spoken()], hedge=HedgePolicy(after_s=5.0)), Router([Spoken(), Spoken()])
    raced, routed = await best_of([lambda: drain(router), lambda: drain(plain)], 500)
    return [Figure("router.hedge_overhead_cpu", raced - routed, "us", "<= 300")]


async def serve() -> None:
    """Print the port, then answer every request with the same reply, for ever."""
    said = {
        "role": "assistant",
        "content": "It is sunny in Lisbon, 24 degrees, with a light wind from the sea.",
    }
    usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
    choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    body = json.dumps({**head, "choices": choices, "usage": usage})
    reply = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(asked.split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(reply.encode())
                await writer.drain()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3_600)


async def over_http(base: str, litellm: dict[str, float], why_not: str) -> list[Figure]:
    """What a router adds to a real call, beside what LiteLLM's adds to LiteLLM's."""
    bare = connect("openai:m", base_url=base, api_key="k", server="compatible", streaming=False)
    both = [
        connect("openai:m", base_url=base, api_key="k", server="compatible", streaming=False) for _ in "ab"
    ]
    router = Router(both)
    call, routed = await best_of([lambda: drain(bare), lambda: drain(router)], HTTP_CALLS)
    await bare.aclose()
    await router.aclose()
    peers: dict[str, object] = {"LiteLLM Router": why_not or round(litellm["router_us"] - litellm["call_us"])}
    calls: dict[str, object] = {"LiteLLM Router": why_not or round(litellm["router_us"])}
    return [
        Figure("router.http_call_cpu", routed, "us", "", calls | {"bare client": round(call)}),
        Figure("router.http_call_overhead_cpu", routed - call, "us", "<= 0.1 LiteLLM's", peers),
    ]


def measure_litellm(base: str) -> tuple[dict[str, float], str]:
    """CPU microseconds of LiteLLM's bare and routed call, or why they could not be measured."""
    if "--peers" not in sys.argv:
        return {}, "not asked for: --peers"
    try:
        with Environments() as environments:
            return environments.run_script(LITELLM, base), ""
    except NotMeasuredError as error:
        return {}, f"not measured: {error}"


def main() -> None:
    if "--serve" in sys.argv:
        asyncio.run(serve())
        return
    figures = asyncio.run(in_process())
    figures += asyncio.run(hedged())
    with tempfile.TemporaryDirectory() as folder:
        figures += asyncio.run(sharing(Path(folder)))
    upstream = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    try:
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        litellm, why_not = measure_litellm(base)
        figures += asyncio.run(over_http(base, litellm, why_not))
    finally:
        upstream.terminate()
        upstream.wait()
    print_figures(figures)


if __name__ == "__main__":
    main()
