"""Many callers of one router in virtual time: whatever goes wrong and whoever leaves, the laws hold. A seed is a world."""

import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import pytest

from agent_core.chat import CallContext, Completion, Delta, ModelProfile, ModelRequest, TextDelta
from agent_core.errors import ModelError
from agent_core.messages import Usage, assistant, user
from agent_core.testing.virtual_time import LoopClock, virtual_time
from agent_gateway.balancing import Balance
from agent_gateway.breaker import BreakerPolicy
from agent_gateway.budgets import Budget, Budgets
from agent_gateway.errors import DeadlineExceededError, ProviderUnavailableError, RateLimitedError
from agent_gateway.hedging import HedgePolicy
from agent_gateway.limits import RateLimits
from agent_gateway.pricing import Price, PriceTable
from agent_gateway.retry import RetryPolicy
from agent_gateway.router import Router
from agent_gateway.standing import Attempt, Outcome, Route

WORLDS, MANY_WORLDS = 50, 2_000
CALLERS = 60
PRICES = PriceTable({"w:*": [Price(since="1970-01-01", input=100.0, output=1_000.0)]})


class Moody:
    """A model that is quick, slow, silent, overloaded, limited or cut off, by chance."""

    def __init__(self, name: str, dice: random.Random, clock: LoopClock) -> None:
        self.profile = ModelProfile(name=f"w:{name}", reply_tokens=20)
        self.dice = dice
        self.clock = clock
        self.reliability = dice.random()
        self.under_way = 0
        self.busiest = 0
        self.asked_at: list[float] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Completion]:
        self.asked_at.append(self.clock.now())
        self.under_way += 1
        self.busiest = max(self.busiest, self.under_way)
        try:
            await anyio.sleep(self.dice.expovariate(2.0))
            if self.dice.random() > self.reliability:
                self._fail()
            for word in range(self.dice.randint(1, 5)):
                yield TextDelta(f"{word} ")
                await anyio.sleep(self.dice.random() * 0.3)
                if self.dice.random() > 0.97:
                    raise ProviderUnavailableError(self.profile.name, "cut off")
            usage = Usage(input_tokens=5, output_tokens=self.dice.randint(1, 20))
            yield Completion(message=assistant("x"), model="m", usage=usage)
        finally:
            self.under_way -= 1

    def _fail(self) -> None:
        if self.dice.random() < 0.4:
            wait_s = self.dice.choice([None, 0.5, 3.0, 90.0])
            raise RateLimitedError(self.profile.name, "slow down", status=429, retry_after_s=wait_s)
        raise ProviderUnavailableError(self.profile.name, "overloaded", status=529)

    async def aclose(self) -> None:
        pass


class World:
    """A router made by chance, and what its callers saw."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.clock = LoopClock()
        self.models = [Moody(f"m{number}", dice, self.clock) for number in range(dice.randint(1, 4))]
        self.limits = [
            RateLimits(
                requests_per_minute=dice.choice([None, 5, 40]),
                tokens_per_minute=dice.choice([None, 400, 4_000]),
                concurrency=dice.choice([None, 1, 3]),
            )
            for _ in self.models
        ]
        self.budgets = Budgets(tenants={"*": Budget(tokens=dice.choice([None, 1_000]), cost_usd=0.2)})
        self.told: list[Attempt] = []
        self.seen: list[str] = []
        self.late: list[float] = []
        self.router = Router(
            [Route(model=model, limits=limit) for model, limit in zip(self.models, self.limits, strict=True)],
            balance=dice.choice(list(Balance)),
            retry=RetryPolicy(attempts=dice.randint(1, 4), longest_wait_s=dice.choice([5.0, 200.0])),
            breaker=BreakerPolicy(failures=dice.randint(1, 6), open_s=2.0, max_open_s=10.0),
            hedge=dice.choice([None, HedgePolicy(after_s=0.4), HedgePolicy(quantile=0.8, samples=5)]),
            first_word_timeout_s=dice.choice([None, 1.0]),
            budgets=self.budgets,
            prices=PRICES,
            single_flight=dice.random() < 0.3,
            clock=self.clock,
            chance=dice.random,
            on_attempt=self.told.append,
        )

    async def caller(self, number: int) -> None:
        await anyio.sleep(self.dice.random() * 20)
        deadline = self.clock.now() + self.dice.choice([2.0, 30.0, 400.0])
        context = CallContext(tenant=self.dice.choice("ab"), session_id=str(number % 7), deadline=deadline)
        request = ModelRequest(
            messages=(user(f"question {number % 9}"),), context=context, max_output_tokens=20
        )
        patience = self.dice.choice([None, None, 0.5, 5.0])
        outcome = "left"
        with anyio.move_on_after(patience):
            try:
                async with aclosing(self.router.stream(request)) as items:
                    async for item in items:
                        if isinstance(item, Completion):
                            outcome = "answered"
            except ModelError as error:
                outcome = type(error).__name__
                if isinstance(error, DeadlineExceededError):
                    self.late.append(self.clock.now() - deadline)
        if patience is None:
            assert outcome != "left"
        assert self.clock.now() <= deadline + 0.1, "nobody is kept after the deadline"
        self.seen.append(outcome)

    async def watch(self) -> None:
        """Nobody stands in the line of a route that has had room for them for a while."""
        waited: set[tuple[str, int]] = set()
        while len(self.seen) < CALLERS:
            now = {
                (standing.name, id(event))
                for standing, limit in zip(self.router._standings, self.limits, strict=True)
                if standing.in_flight + len(standing._called) < (limit.concurrency or 10**9)
                and not standing.breaker.probing
                for event in standing._line
            }
            assert not waited & now
            waited = now
            await anyio.sleep(0.25)

    async def live(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.watch)
            for number in range(CALLERS):
                tasks.start_soon(self.caller, number)


def laws(world: World) -> None:
    """What holds at the end of every world."""
    assert len(world.seen) == CALLERS, "everybody has an answer, an error or has left"
    assert [late for late in world.late if not 0 <= late < 0.1] == []
    for model, limit, standing in zip(world.models, world.limits, world.router._standings, strict=True):
        assert model.under_way == standing.in_flight == 0
        assert (len(standing._line), len(standing._called)) == (0, 0)
        assert not standing.breaker.probing
        assert limit.concurrency is None or model.busiest <= limit.concurrency
        if limit.requests_per_minute is not None:
            for start in model.asked_at:
                in_window = sum(start <= at < start + 60 for at in model.asked_at)
                assert in_window <= limit.requests_per_minute
    assert len(world.told) == sum(len(model.asked_at) for model in world.models)
    for name in "ab":
        spent = world.budgets.spent(("tenant", name), 1_700_000_000.0)
        assert (spent.held_tokens, spent.held_usd) == (0, pytest.approx(0.0, abs=1e-9))
        assert spent.cost_usd <= 0.2 + 1e-9
    answered = sum(one.outcome is Outcome.ANSWERED for one in world.told)
    assert answered >= world.seen.count("answered") or world.router._flights is not None


def live(seed: int) -> None:
    async def main() -> None:
        world = World(seed)
        await world.live()
        laws(world)

    anyio.run(main, backend_options=virtual_time(seed=seed))


@pytest.mark.parametrize("seed", range(WORLDS))
def test_a_world(seed: int) -> None:
    live(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WORLDS, MANY_WORLDS))
def test_many_worlds(seed: int) -> None:
    """Two minutes."""
    live(seed)


def test_the_worlds_differ() -> None:
    """The laws would hold in a world where nothing happens: over all, everything does."""
    seen: set[str] = set()

    async def main(seed: int) -> None:
        world = World(seed)
        await world.live()
        seen.update(world.seen, (one.outcome.value for one in world.told))

    for seed in range(40):
        anyio.run(main, seed, backend_options=virtual_time(seed=seed))
    assert {
        *("answered", "left", "failed", "abandoned"),
        *("BudgetExceededError", "DeadlineExceededError", "RoutesExhaustedError", "ProviderUnavailableError"),
    } <= seen
