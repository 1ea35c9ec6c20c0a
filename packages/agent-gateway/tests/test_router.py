"""The router over scripted models and a clock that a test moves."""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import (
    CallContext,
    Completion,
    Delta,
    ModelProfile,
    ModelRequest,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from agent_core.errors import ConfigurationError, ContextTooLongError, ModelError
from agent_core.messages import FinishReason, Message, Text, Usage, assistant, user
from agent_core.ports import ChatModel
from agent_core.testing import VirtualClock
from agent_core.testing.conformance.chat_model import LONG_REPLY_TOKENS, ChatModelConformance
from agent_gateway.balancing import Balance
from agent_gateway.breaker import BreakerPolicy
from agent_gateway.budgets import Budget, Budgets
from agent_gateway.cache import ResponseCache
from agent_gateway.errors import (
    BudgetExceededError,
    CredentialsError,
    DeadlineExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    RoutesExhaustedError,
)
from agent_gateway.hedging import HedgePolicy
from agent_gateway.limits import RateLimits
from agent_gateway.pricing import Price, PriceTable
from agent_gateway.retry import RetryPolicy
from agent_gateway.router import Router
from agent_gateway.standing import Attempt, Outcome, Route

HELLO = ModelRequest(messages=(user("hi"),), max_output_tokens=10)
DOWN = ProviderUnavailableError("w", "down", status=503)
STEADY = RetryPolicy(base_s=1.0, jitter=0.0)
Step = Delta | Completion | Exception | float


def done(text: str = "yes", usage: Usage | None = None) -> Completion:
    return Completion(
        message=assistant(text), model="m", usage=usage or Usage(input_tokens=10, output_tokens=2)
    )


SAYS: tuple[Step, ...] = (TextDelta("yes"), done())


class Scripted:
    """A fake model: each request plays the next script, the last for ever. A number sleeps by the clock."""

    def __init__(self, name: str, *scripts: Sequence[Step], clock: VirtualClock | None = None) -> None:
        self.profile = ModelProfile(name=name, reply_tokens=50)
        self.scripts = list(scripts)
        self.requests: list[ModelRequest] = []
        self.asked_at: list[float] = []
        self.open = 0
        self.busiest = 0
        self.closed = 0
        self.clock = clock

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.asked_at.append(self.clock.now() if self.clock else 0.0)
        self.open += 1
        self.busiest = max(self.busiest, self.open)
        try:
            for step in script:
                match step:
                    case Exception():
                        raise step
                    case float():
                        await (self.clock.sleep(step) if self.clock else anyio.sleep(step))
                    case _:
                        yield step
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.closed += 1


async def ask(router: ChatModel, request: ModelRequest = HELLO) -> list[Delta | Completion]:
    async with aclosing(router.stream(request)) as stream:
        return [item async for item in stream]


def limited(seconds: float | None) -> RateLimitedError:
    return RateLimitedError("w", "slow down", status=429, retry_after_s=seconds)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def models(clock: VirtualClock) -> Any:
    def make(*scripts: Sequence[Sequence[Step]]) -> list[Scripted]:
        return [Scripted(f"p:m{number}", *one, clock=clock) for number, one in enumerate(scripts)]

    return make


async def test_a_router_of_one_is_that_model(models: Any) -> None:
    (only,) = models([SAYS])
    router = Router([only])
    assert await ask(router) == list(SAYS)
    assert router.profile is only.profile
    await router.aclose()
    await router.aclose()
    assert only.closed == 2


async def test_the_first_as_long_as_it_can(models: Any) -> None:
    first, second = models([SAYS], [SAYS])
    router = Router([first, second])
    for _ in range(3):
        await ask(router)
    assert (len(first.requests), len(second.requests)) == (3, 0)
    assert router.profile.name == "router:p:m0|p:m1"
    assert router.profile.reply_tokens == first.profile.reply_tokens
    assert repr(router) == "Router(p:m0, p:m1)"


async def test_it_falls_back_before_it_backs_off(models: Any, clock: VirtualClock) -> None:
    first, second = models([[DOWN]], [SAYS])
    started = clock.now()
    assert await ask(Router([first, second], clock=clock)) == list(SAYS)
    assert clock.now() == started, "nobody waited"


async def test_when_all_have_failed_it_backs_off_and_asks_again(models: Any, clock: VirtualClock) -> None:
    first, second = models([[DOWN]], [[DOWN], [DOWN], SAYS])
    started = clock.now()
    assert await ask(Router([first, second], clock=clock, retry=STEADY)) == list(SAYS)
    assert [at - started for at in first.asked_at] == [0.0, 1.0, 3.0]
    assert [at - started for at in second.asked_at] == [0.0, 1.0, 3.0]


async def test_each_route_has_so_many_attempts(models: Any, clock: VirtualClock) -> None:
    first, second = models([[DOWN]], [[limited(None)]])
    with pytest.raises(RoutesExhaustedError) as raised:
        await ask(Router([first, second], clock=clock, retry=STEADY))
    assert (len(first.requests), len(second.requests)) == (3, 3)
    assert [name for name, _ in raised.value.errors] == ["p:m0", "p:m1"]


async def test_the_only_route_s_error_is_its_own(models: Any, clock: VirtualClock) -> None:
    (only,) = models([[DOWN]])
    with pytest.raises(ProviderUnavailableError) as raised:
        await ask(Router([only], clock=clock))
    assert raised.value is DOWN


async def test_a_provider_s_wait_is_kept_to_by_all_requests(models: Any, clock: VirtualClock) -> None:
    first, second = models([[limited(20.0)], SAYS], [SAYS])
    router = Router([first, second], clock=clock)
    for _ in range(3):
        await ask(router)
    assert (len(first.requests), len(second.requests)) == (1, 3)
    clock.advance(20.0)
    await ask(router)
    assert len(first.requests) == 2


async def test_a_provider_s_wait_is_waited_for_where_there_is_no_other(
    models: Any, clock: VirtualClock
) -> None:
    (only,) = models([[limited(20.0)], SAYS])
    started = clock.now()
    assert await ask(Router([only], clock=clock)) == list(SAYS)
    assert clock.now() - started == 20.0


async def test_a_wait_without_measure_does_not_end_a_route(models: Any, clock: VirtualClock) -> None:
    """As a server asks for whose clock is wrong."""
    (only,) = models([[limited(3.0e11)], SAYS])
    router = Router([only], clock=clock)
    with pytest.raises(RateLimitedError):
        await ask(router)
    clock.advance(3_599.0 - 60.0)  # it would wait for a minute
    with pytest.raises(ModelError):
        await ask(router)
    assert len(only.requests) == 1
    clock.advance(61.0)
    assert await ask(router) == list(SAYS)


async def test_a_wait_that_is_too_long_is_told(models: Any, clock: VirtualClock) -> None:
    first, second = models([[limited(600.0)]], [[limited(300.0)]])
    started = clock.now()
    with pytest.raises(RoutesExhaustedError) as raised:
        await ask(Router([first, second], clock=clock))
    assert raised.value.retry_after_s == pytest.approx(300.0)
    assert clock.now() == started


@pytest.mark.parametrize(
    "error",
    [
        CredentialsError("w", "r", setting="s", status=401),
        ContextTooLongError("m", 9, 5),
        ProviderRefusedError("w", "no credit", status=402),
    ],
)
async def test_what_only_this_route_refuses_another_may_answer(
    models: Any, clock: VirtualClock, error: ModelError
) -> None:
    first, second = models([[error]], [[DOWN], SAYS])
    assert await ask(Router([first, second], clock=clock)) == list(SAYS)
    assert (len(first.requests), len(second.requests)) == (1, 2), "the one that refused is not asked again"


async def test_what_every_route_would_refuse_is_not_asked_of_another(models: Any) -> None:
    first, second = models([[ProviderRefusedError("w", "bad request", status=400)]], [SAYS])
    with pytest.raises(ProviderRefusedError, match="bad request"):
        await ask(Router([first, second]))
    assert second.requests == []


@pytest.mark.parametrize("word", [TextDelta("a"), ReasoningDelta("hm"), ToolCallDelta(index=0, name="t")])
async def test_nothing_is_begun_anew_after_the_first_word(models: Any, word: Delta) -> None:
    first, second = models([[word, DOWN]], [SAYS])
    stream = Router([first, second]).stream(HELLO)
    assert await anext(stream) == word
    with pytest.raises(ProviderUnavailableError):
        await anext(stream)
    assert second.requests == []


async def test_what_says_nothing_is_no_word(models: Any) -> None:
    empty = (TextDelta(""), ReasoningDelta(""), ToolCallDelta(index=0))
    first, second = models([[*empty, DOWN]], [[*empty, *SAYS]])
    assert await ask(Router([first, second])) == list(SAYS)


async def test_a_stream_that_just_ends_is_a_failure(models: Any, clock: VirtualClock) -> None:
    first, second = models([[]], [SAYS])
    assert await ask(Router([first, second], clock=clock)) == list(SAYS)
    (cut,) = models([[TextDelta("a")]])
    with pytest.raises(ProviderUnavailableError, match="without a completion"):
        await ask(Router([cut], clock=clock))


async def test_a_route_that_keeps_failing_is_left_alone_and_tried_again(
    models: Any, clock: VirtualClock
) -> None:
    first, second = models([*[[DOWN]] * 4, SAYS], [SAYS])
    policy = BreakerPolicy(failures=3, open_s=10.0, factor=2.0)
    router = Router([first, second], breaker=policy, clock=clock)
    for _ in range(10):
        await ask(router)
    assert len(first.requests) == 3
    clock.advance(10.0)
    await ask(router)
    await ask(router)
    assert len(first.requests) == 4, "one try, which failed"
    clock.advance(20.0)
    for _ in range(3):
        await ask(router)
    assert len(first.requests) == 7


async def test_while_the_one_try_is_under_way_the_others_go_elsewhere(
    models: Any, clock: VirtualClock
) -> None:
    first, second = models([[DOWN], [5.0, *SAYS]], [SAYS])
    router = Router([first, second], breaker=BreakerPolicy(failures=1, open_s=10.0), clock=clock)
    await ask(router)
    clock.advance(10.0)
    trying = router.stream(HELLO)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, trying)
        await anyio.lowlevel.checkpoint()
        assert len(first.requests) == 2
        await ask(router)
        assert len(second.requests) == 2
        assert len(first.requests) == 2
    await trying.aclose()


async def test_limits_send_what_is_over_them_elsewhere(models: Any, clock: VirtualClock) -> None:
    first, second = models([SAYS], [SAYS])
    router = Router([Route(model=first, limits=RateLimits(requests_per_minute=3)), second], clock=clock)
    for _ in range(10):
        await ask(router)
    assert (len(first.requests), len(second.requests)) == (3, 7)


async def test_limits_are_waited_for_where_there_is_no_other(models: Any, clock: VirtualClock) -> None:
    (only,) = models([SAYS])
    limits = RateLimits(requests_per_minute=4)
    router = Router([Route(model=only, limits=limits)], retry=RetryPolicy(longest_wait_s=120), clock=clock)
    for _ in range(12):
        await ask(router)
    for start in only.asked_at:
        assert sum(start <= at < start + 60 for at in only.asked_at) <= 4


async def test_token_limits_go_by_the_estimate_and_then_by_what_it_took(
    models: Any, clock: VirtualClock
) -> None:
    first, second = models([[done(usage=Usage(input_tokens=10, output_tokens=2))]], [SAYS])
    limits = RateLimits(tokens_per_minute=100)
    router = Router([Route(model=first, limits=limits), second], clock=clock)
    request = msgspec.structs.replace(HELLO, max_output_tokens=60)
    for _ in range(6):
        await ask(router, request)
    # About 70 are estimated and 12 taken: the third finds 24 taken and room for its 70, the fourth does not.
    assert 2 <= len(first.requests) <= 4
    assert len(first.requests) + len(second.requests) == 6


async def test_no_more_than_so_many_at_once_and_the_first_come_first() -> None:
    only = Scripted("p:m", [0.002, *SAYS])
    router = Router([Route(model=only, limits=RateLimits(concurrency=3))])
    ended: list[int] = []

    async def one(number: int) -> None:
        await ask(router, msgspec.structs.replace(HELLO, messages=(user(str(number)),)))
        ended.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(one, number)
    assert only.busiest == 3
    assert [request.messages[0].text for request in only.requests] == [str(number) for number in range(30)]


async def test_somebody_who_waits_in_line_and_leaves_does_not_stop_the_line() -> None:
    only = Scripted("p:m", [0.01, *SAYS])
    router = Router([Route(model=only, limits=RateLimits(concurrency=1))])
    done_count = 0

    async def patient() -> None:
        nonlocal done_count
        await ask(router)
        done_count += 1

    async def impatient() -> None:
        with anyio.move_on_after(random.random() * 0.03):
            await ask(router)

    async with anyio.create_task_group() as tasks:
        for _ in range(15):
            tasks.start_soon(impatient)
            tasks.start_soon(patient)
    assert done_count == 15
    assert only.open == 0
    standing = router._standings[0]
    assert (standing.in_flight, len(standing._line)) == (0, 0)


async def test_two_capped_routes_are_both_used() -> None:
    first, second = Scripted("p:a", [0.002, *SAYS]), Scripted("p:b", [0.002, *SAYS])
    cap = RateLimits(concurrency=2)
    router = Router([Route(model=first, limits=cap), Route(model=second, limits=cap)])
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask, router)
    assert first.busiest == second.busiest == 2
    assert len(first.requests) + len(second.requests) == 20


async def test_a_deadline_ends_what_waits_and_what_runs(models: Any, clock: VirtualClock) -> None:
    def until(seconds: float) -> ModelRequest:
        return msgspec.structs.replace(HELLO, context=CallContext(deadline=clock.now() + seconds))

    slow, late = models([[5.0, *SAYS]], [[TextDelta("a"), 5.0, *SAYS]])
    assert len(await ask(Router([slow], clock=clock), until(6.0))) == 2
    for model in (slow, late):
        with pytest.raises(DeadlineExceededError, match="allow more time"):
            await ask(Router([model], clock=clock), until(4.0))
    with pytest.raises(DeadlineExceededError):
        await ask(Router([late], clock=clock), until(-1.0))
    assert len(late.requests) == 1, "nobody is asked whose time is over"
    (down,) = models([[limited(30.0)]])
    started = clock.now()
    with pytest.raises(RateLimitedError):
        await ask(Router([down], clock=clock), until(20.0))
    assert clock.now() == started, "a wait that cannot end in time is not begun"


async def test_a_deadline_cuts_off_a_model_that_hangs() -> None:
    only = Scripted("p:m", [TextDelta("a"), 60.0])
    clock = VirtualClock()
    request = msgspec.structs.replace(HELLO, context=CallContext(deadline=clock.now() + 0.05))
    with anyio.fail_after(30), pytest.raises(DeadlineExceededError):
        await ask(Router([only], clock=clock), request)
    assert only.open == 0


async def test_a_deadline_reaches_the_model_with_the_request(models: Any, clock: VirtualClock) -> None:
    (only,) = models([SAYS])
    context = CallContext(tenant="t", session_id="s", idempotency_key="i", deadline=clock.now() + 9)
    await ask(Router([only], clock=clock), msgspec.structs.replace(HELLO, context=context))
    assert only.requests[0].context == context


async def test_a_route_that_says_nothing_for_too_long_is_left_for_another(
    models: Any, clock: VirtualClock
) -> None:
    first, second = models([[TextDelta(""), 3.0, *SAYS]], [[1.0, TextDelta("a"), 30.0, done("a")]])
    router = Router([first, second], first_word_timeout_s=2.0, clock=clock)
    assert (await ask(router))[0] == TextDelta("a"), "after the first word there is time"
    assert first.open == 0


@given(
    st.lists(st.sampled_from([DOWN, limited(None), limited(2.0), limited(9.0)]), max_size=8),
    st.floats(0.1, 30),
    st.randoms(use_true_random=False),
)
async def test_retrying_never_passes_the_deadline(
    failures: list[Exception], seconds: float, dice: random.Random
) -> None:
    clock = VirtualClock()
    routes = [
        Scripted(f"p:{number}", *([one] for one in failures[number::2]), SAYS, clock=clock)
        for number in range(2)
    ]
    deadline = clock.now() + seconds
    router = Router(routes, clock=clock, chance=dice.random)
    request = msgspec.structs.replace(HELLO, context=CallContext(deadline=deadline))
    with suppress(ModelError):
        await ask(router, request)
    assert clock.now() <= deadline
    assert all(at <= deadline for route in routes for at in route.asked_at)
    assert all(len(route.requests) <= 3 for route in routes)


async def test_sessions_stay_together_and_move_when_their_route_is_down(
    models: Any, clock: VirtualClock
) -> None:
    routes = models([SAYS], [SAYS], [SAYS])
    router = Router(routes, balance=Balance.STICKY, clock=clock)

    async def served_by(session: str) -> str:
        before = [len(route.requests) for route in routes]
        context = CallContext(session_id=session)
        await ask(router, msgspec.structs.replace(HELLO, context=context))
        return next(
            route.profile.name
            for route, count in zip(routes, before, strict=True)
            if len(route.requests) > count
        )

    homes = {str(number): await served_by(str(number)) for number in range(30)}
    assert len(set(homes.values())) == 3
    assert {session: await served_by(session) for session in homes} == homes
    routes[0].scripts = [[DOWN]]
    moved = {session: await served_by(session) for session, home in homes.items() if home != "p:m0"}
    assert moved == {session: home for session, home in homes.items() if home != "p:m0"}


async def test_the_load_is_spread() -> None:
    first, second = Scripted("p:a", [0.001, *SAYS]), Scripted("p:b", [0.001, *SAYS])
    router = Router([first, second], balance=Balance.LEAST_BUSY)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask, router)
    assert (len(first.requests), len(second.requests)) == (10, 10)


async def test_weights(models: Any) -> None:
    first, second = models([SAYS], [SAYS])
    routes = [Route(model=first, weight=1), Route(model=second, weight=9)]
    router = Router(routes, balance=Balance.WEIGHTED, chance=random.Random(3).random)
    for _ in range(200):
        await ask(router)
    assert 5 <= len(first.requests) <= 40


async def test_two_routes_of_one_name_are_told_apart(models: Any, clock: VirtualClock) -> None:
    (first,) = models([[DOWN]])
    with pytest.raises(RoutesExhaustedError) as raised:
        await ask(Router([first, Route(model=first)], clock=clock))
    assert [name for name, _ in raised.value.errors] == ["p:m0", "p:m0#2"]


def test_routes_that_are_none(models: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least one route"):
        Router([])
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="weight"):
            Router([Route(model=models([SAYS])[0], weight=weight)])


async def test_a_router_is_a_route(models: Any, clock: VirtualClock) -> None:
    first, second, third = models([[DOWN]], [[DOWN]], [SAYS])
    inner = Router([first, second], clock=clock, retry=RetryPolicy(attempts=1))
    assert await ask(Router([inner, third], clock=clock)) == list(SAYS)


# ── hedging ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_route_is_asked_where_the_first_takes_long_and_the_faster_wins() -> None:
    slow, fast = Scripted("p:slow", [5.0, *SAYS]), Scripted("p:fast", [0.01, TextDelta("fast"), done("fast")])
    told: list[Attempt] = []
    router = Router([slow, fast], hedge=HedgePolicy(after_s=0.02), on_attempt=told.append)
    with anyio.fail_after(30):
        assert (await ask(router))[0] == TextDelta("fast")
    assert slow.open == fast.open == 0, "the slower was stopped"
    assert {one.route: one.outcome for one in told} == {
        "p:slow": Outcome.ABANDONED,
        "p:fast": Outcome.ANSWERED,
    }


async def test_nothing_is_hedged_where_the_first_is_quick() -> None:
    first, second = Scripted("p:a", SAYS), Scripted("p:b", SAYS)
    router = Router([first, second], hedge=HedgePolicy(after_s=0.5))
    assert await ask(router) == list(SAYS)
    assert second.requests == []


async def test_the_slower_first_may_still_win() -> None:
    first, second = Scripted("p:a", [0.05, *SAYS]), Scripted("p:b", [5.0, *SAYS])
    with anyio.fail_after(30):
        assert await ask(Router([first, second], hedge=HedgePolicy(after_s=0.01))) == list(SAYS)
    assert len(second.requests) == 1
    assert second.open == 0


async def test_a_first_that_fails_falls_back_at_once() -> None:
    first, second = Scripted("p:a", [DOWN]), Scripted("p:b", SAYS)
    with anyio.fail_after(30):
        assert await ask(Router([first, second], hedge=HedgePolicy(after_s=60.0))) == list(SAYS)


async def test_both_of_a_race_fail() -> None:
    first, second = Scripted("p:a", [0.03, DOWN]), Scripted("p:b", [0.01, DOWN])
    router = Router([first, second], hedge=HedgePolicy(after_s=0.01), retry=RetryPolicy(attempts=1))
    with anyio.fail_after(30), pytest.raises(RoutesExhaustedError) as raised:
        await ask(router)
    assert {name for name, _ in raised.value.errors} == {"p:a", "p:b"}


async def test_a_refusal_in_a_race_is_told_as_it_is() -> None:
    first = Scripted("p:a", [0.02, ProviderRefusedError("w", "bad request", status=400)])
    second = Scripted("p:b", [0.05, DOWN])
    with anyio.fail_after(30), pytest.raises(ProviderRefusedError):
        await ask(Router([first, second], hedge=HedgePolicy(after_s=0.01)))


async def test_a_race_that_is_cancelled_leaves_nothing() -> None:
    first, second = Scripted("p:a", [5.0, *SAYS]), Scripted("p:b", [5.0, *SAYS])
    router = Router([first, second], hedge=HedgePolicy(after_s=0.01))
    with anyio.move_on_after(0.05) as scope:
        await ask(router)
    assert scope.cancelled_caught
    assert first.open == second.open == 0
    assert len(second.requests) == 1
    assert [standing.in_flight for standing in router._standings] == [0, 0]


async def test_hedging_learns_what_takes_long() -> None:
    first, second = Scripted("p:a", *[SAYS] * 20, [5.0, *SAYS]), Scripted("p:b", SAYS)
    router = Router([first, second], hedge=HedgePolicy(quantile=0.9, samples=20))
    with anyio.fail_after(30):
        for _ in range(21):
            await ask(router)
    assert len(second.requests) == 1


# ── cost and budgets ─────────────────────────────────────────────────────────────────────────────────────────────────

PRICES = PriceTable(
    {
        "p:m0": [Price(since="2000-01-01", input=1_000.0, output=2_000.0, cached_input=100.0)],
        "p:m1": [Price(since="2000-01-01", input=0.0, output=0.0, cached_input=0.0, cache_write=0.0)],
    }
)


async def test_the_cost_is_filled_in_where_it_is_known(models: Any, clock: VirtualClock) -> None:
    usage = Usage(input_tokens=100, cached_input_tokens=50, output_tokens=10, reasoning_tokens=5)
    known, unknown = models([[done(usage=usage)]], [[done(usage=usage)]])
    unknown.profile = ModelProfile(name="p:nobody-knows")
    for model, cost in ((known, 0.1 + 0.005 + 0.02 + 0.01), (unknown, None)):
        (completion,) = await ask(Router([model], prices=PRICES, clock=clock))
        assert isinstance(completion, Completion)
        assert completion.usage.cost_usd == (None if cost is None else pytest.approx(cost))
        assert msgspec.structs.replace(completion.usage, cost_usd=None) == usage


async def test_a_cost_that_the_reply_names_stands(models: Any, clock: VirtualClock) -> None:
    (model,) = models([[done(usage=Usage(input_tokens=1, cost_usd=7.0))]])
    (completion,) = await ask(Router([model], prices=PRICES, clock=clock))
    assert isinstance(completion, Completion)
    assert completion.usage.cost_usd == 7.0


async def test_a_budget_sends_the_caller_to_a_cheaper_route_and_then_ends(
    models: Any, clock: VirtualClock
) -> None:
    dear, free = models([SAYS], [SAYS])
    budgets = Budgets(tenants={"t": Budget(cost_usd=0.1, tokens=1_000)})
    router = Router([dear, free], budgets=budgets, prices=PRICES, clock=clock)
    request = msgspec.structs.replace(HELLO, context=CallContext(tenant="t"))
    for _ in range(12):
        await ask(router, request)
    spent = budgets.spent(("tenant", "t"), clock.now())
    assert 0 < spent.cost_usd <= 0.1
    assert len(dear.requests) >= 1
    assert len(free.requests) >= 1
    assert (spent.tokens, spent.held_tokens) == (12 * 12, 0)
    with pytest.raises(BudgetExceededError):
        await ask(router, msgspec.structs.replace(request, max_output_tokens=5_000))
    await ask(router, HELLO)  # another tenant


async def test_what_fails_is_not_paid_for_and_what_breaks_off_is(models: Any, clock: VirtualClock) -> None:
    down, cut = models([[DOWN]], [[TextDelta("a"), DOWN]])
    budgets = Budgets(tenants={"t": Budget(tokens=1_000)})
    request = msgspec.structs.replace(HELLO, context=CallContext(tenant="t"))
    with pytest.raises(ProviderUnavailableError):
        await ask(Router([down], budgets=budgets, clock=clock), request)
    assert budgets.spent(("tenant", "t"), clock.now()).tokens == 0
    with pytest.raises(ProviderUnavailableError):
        await ask(Router([cut], budgets=budgets, clock=clock), request)
    spent = budgets.spent(("tenant", "t"), clock.now())
    assert (spent.tokens > 10, spent.held_tokens) == (True, 0)


# ── one reply for equal requests ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_kept_reply_needs_no_model(models: Any, tmp_path: Path) -> None:
    (only,) = models([SAYS])
    async with Router([only], cache=ResponseCache(tmp_path)) as router:
        first = await ask(router)
        again = await ask(router)
        await ask(router, msgspec.structs.replace(HELLO, temperature=1.0))
        tenant = CallContext(tenant="another")
        await ask(router, msgspec.structs.replace(HELLO, context=tenant))
    assert len(only.requests) == 3
    assert again[:-1] == first[:-1]
    last = again[-1]
    assert isinstance(last, Completion)
    assert last.usage == Usage(cost_usd=0.0)


async def test_equal_requests_at_the_same_time_are_one() -> None:
    only = Scripted("p:m", [0.01, TextDelta("a"), 0.01, TextDelta("b"), done("ab")])
    router = Router([only], single_flight=True)
    found: list[list[Delta | Completion]] = []

    async def one() -> None:
        found.append(await ask(router))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert len(only.requests) == 1
    assert found == [[TextDelta("a"), TextDelta("b"), done("ab")]] * 10
    await ask(router)
    assert len(only.requests) == 2


async def test_a_flight_keeps_to_each_caller_s_own_deadline() -> None:
    only = Scripted("p:m", [TextDelta("a"), 0.1, done("a")])
    clock = VirtualClock()
    router = Router([only], single_flight=True, clock=clock)
    hurried = msgspec.structs.replace(HELLO, context=CallContext(deadline=clock.now() + 0.02))
    outcomes: list[object] = []

    async def one(request: ModelRequest) -> None:
        try:
            outcomes.append(len(await ask(router, request)))
        except DeadlineExceededError:
            outcomes.append("late")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, hurried)
        tasks.start_soon(one, HELLO)
    assert outcomes == ["late", 2]
    assert len(only.requests) == 1


async def test_a_flight_is_kept(tmp_path: Path) -> None:
    only = Scripted("p:m", [0.01, *SAYS])
    async with Router([only], single_flight=True, cache=ResponseCache(tmp_path)) as router:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask, router)
        await ask(router)
    assert len(only.requests) == 1


# ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_request_to_a_route_is_told_of(models: Any, clock: VirtualClock) -> None:
    first, second = models([[DOWN]], [[2.0, TextDelta("a"), 3.0, done("a")]])
    told: list[Attempt] = []
    router = Router([first, second], clock=clock, on_attempt=told.append)
    await ask(router)
    failed, answered = told
    assert (failed.route, failed.outcome, failed.error, failed.usage) == ("p:m0", Outcome.FAILED, DOWN, None)
    assert (answered.route, answered.outcome) == ("p:m1", Outcome.ANSWERED)
    assert (answered.first_word_s, answered.seconds) == (2.0, 5.0)
    stream = router.stream(HELLO)
    await anext(stream)
    await stream.aclose()
    assert told[-1].outcome is Outcome.ABANDONED


async def test_a_caller_who_stops_at_the_completion_leaves_nothing(models: Any) -> None:
    (only,) = models([SAYS])
    router = Router([Route(model=only, limits=RateLimits(concurrency=1))])
    for _ in range(3):
        stream = router.stream(HELLO)
        while not isinstance(await anext(stream), Completion):
            pass
    assert len(only.requests) == 3


class _Storyteller:
    """Answers shortly, and slowly where it is asked for much."""

    profile = ModelProfile(name="test:storyteller", context_tokens=200, reply_tokens=50)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        size = sum(len(message.text) for message in request.messages)
        if size > 800:
            raise ContextTooLongError("storyteller", size // 4, 200)
        words = ["once "] * (500 if request.max_output_tokens == LONG_REPLY_TOKENS else 3)
        for word in words:
            await anyio.sleep(0.02 if len(words) > 3 else 0)
            yield TextDelta(word)
        message = Message(role="assistant", parts=(Text(text="".join(words)),))
        yield Completion(message=message, model="storyteller", finish_reason=FinishReason.STOP)

    async def aclose(self) -> None:
        pass


class TestConformance(ChatModelConformance):
    """One that falls back for each request."""

    too_long = "word " * 200

    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        keyless = CredentialsError("w", "r", setting="s", status=401)
        return Router([Scripted("p:keyless", [keyless]), _Storyteller()])


class TestConformanceWithEverything(ChatModelConformance):
    """Hedging, a cache, single flight, limits."""

    too_long = "word " * 200

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def chat_model(self) -> AbstractAsyncContextManager[ChatModel]:
        return Router(
            [_Storyteller(), Route(model=_Storyteller(), limits=RateLimits(concurrency=2))],
            balance=Balance.LEAST_BUSY,
            hedge=HedgePolicy(after_s=0.05),
            cache=ResponseCache(self.folder / "cache"),
            single_flight=True,
            first_word_timeout_s=5.0,
        )
