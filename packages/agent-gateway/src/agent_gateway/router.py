"""`Router`: several models as one `ChatModel`. It performs what the policies decide, and decides nothing itself.

`routing` says who is asked next, `balancing` in which order, `standing` how a route stands, `budgets` who may spend,
`hedging` when a second route is asked; `asking` asks one route and counts. What follows here is the waiting.
"""

import random
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import anyio
import msgspec

from agent_core.chat import Completion, ModelProfile, ModelRequest
from agent_core.errors import ConfigurationError, ModelError
from agent_core.ports import ChatModel, Clock
from agent_core.system import SystemClock
from agent_gateway.asking import Asking, Call, StreamItem
from agent_gateway.balancing import Balance, Candidate, order, sticky_key
from agent_gateway.breaker import BreakerPolicy
from agent_gateway.budgets import Budgets
from agent_gateway.cache import ResponseCache, replayed, request_key
from agent_gateway.errors import DeadlineExceededError
from agent_gateway.hedging import HedgePolicy, hedge_after_s
from agent_gateway.pricing import PriceTable
from agent_gateway.racing import Race
from agent_gateway.retry import RetryPolicy, backoff_s
from agent_gateway.routing import Ask, Decision, GiveUp, Prospect, Verdict, Wait, decide, exhausted, verdict
from agent_gateway.single_flight import SingleFlight
from agent_gateway.standing import Attempt, Place, Route, Standing


class Router:
    """Several models as one: falls back, tries again, spreads the load, keeps to limits and budgets.

    A stream that has said something is never begun anew: a failure after the first word is the caller's to see. The
    router owns its models and closes them.
    """

    def __init__(
        self,
        routes: Sequence[ChatModel | Route],
        *,
        balance: Balance = Balance.ORDERED,
        retry: RetryPolicy | None = None,
        breaker: BreakerPolicy | None = None,
        hedge: HedgePolicy | None = None,
        first_word_timeout_s: float | None = None,
        budgets: Budgets | None = None,
        prices: PriceTable | None = None,
        cache: ResponseCache | None = None,
        single_flight: bool = False,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,  # noqa: S311 (nobody is to be kept from guessing it)
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        """`routes` in the order of preference: models, or models with weights and limits.

        `first_word_timeout_s` is how long a route may say nothing before the next is asked; None: as long as its own
        client waits. `prices` is the table of this release unless another is given. `cache` and `single_flight` give
        equal requests of one tenant one reply. `on_attempt` is told of every request to a route once it has ended.

        Raises:
            ConfigurationError: no routes, or a weight that is not above 0.
        """
        if not routes:
            raise ConfigurationError("a router needs at least one route; give it a model")
        self._retry = retry or RetryPolicy()
        self._standings = _standings(routes, breaker or BreakerPolicy())
        self._balance = balance
        self._hedge = hedge if len(self._standings) > 1 else None
        self._cache = cache
        self._flights: SingleFlight[StreamItem] | None = SingleFlight() if single_flight else None
        self._clock = clock or SystemClock()
        self._chance = chance
        self._asking = Asking(
            clock=self._clock,
            budgets=budgets,
            prices=prices,
            first_word_timeout_s=first_word_timeout_s,
            on_attempt=on_attempt,
        )
        self._counts_tokens = budgets is not None or any(one.counts_tokens for one in self._standings)
        self._ordered = tuple(range(len(self._standings)))

    def __repr__(self) -> str:
        return f"Router({', '.join(one.name for one in self._standings)})"

    @property
    def profile(self) -> ModelProfile:
        """The first route's, under the router's own name."""
        first = self._standings[0].model.profile
        if len(self._standings) == 1:
            return first
        return msgspec.structs.replace(first, name=f"router:{'|'.join(one.name for one in self._standings)}")

    def stream(self, request: ModelRequest) -> AsyncGenerator[StreamItem]:
        """Ask one route after the other until one says something, then pass on what it says; see the port.

        Raises:
            RoutesExhaustedError: several routes were tried and none could answer. One route's error is raised itself.
            DeadlineExceededError: the time of the request's context is over.
            BudgetExceededError, UnknownPriceError: no route is cheap enough for the caller's budget.
            ModelError: what a route raised that is wrong with the request, or that it raised after its first word.
        """
        if self._cache is None and self._flights is None:
            return self._routed(request)
        return self._shared(request)

    async def aclose(self) -> None:
        """Close every model and the cache."""
        for standing in self._standings:
            await standing.model.aclose()
        if self._cache is not None:
            await self._cache.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ── one reply for equal requests ─────────────────────────────────────────────────────────────────────────────

    async def _shared(self, request: ModelRequest) -> AsyncGenerator[StreamItem]:
        key = request_key(request, scope=self.profile.name)
        if self._cache is not None:
            kept = self._cache.get(key, self._clock.now())
            if kept is not None:
                for item in replayed(kept):
                    yield item
                return
        deadline = request.context.deadline
        if self._flights is None:
            source = self._kept(key, request)
        else:
            # A flight serves callers with deadlines of their own; each keeps to its own while it reads.
            endless = msgspec.structs.replace(request.context, deadline=None)
            alone = msgspec.structs.replace(request, context=endless)
            source = self._flights.join(key, lambda: self._kept(key, alone))
        if deadline is not None:
            source = self._asking.within(source, deadline=deadline, where=repr(self))
        async with aclosing(source) as items:
            async for item in items:
                yield item

    async def _kept(self, key: str, request: ModelRequest) -> AsyncGenerator[StreamItem]:
        async with aclosing(self._routed(request)) as items:
            async for item in items:
                if isinstance(item, Completion) and self._cache is not None:
                    await self._cache.put(key, item, self._clock.now())
                yield item

    # ── routing ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _routed(self, request: ModelRequest) -> AsyncGenerator[StreamItem]:
        call = Call(request, self._order(request), counts_tokens=self._counts_tokens)
        async with aclosing(await self._open(call)) as items:
            yield call.first
            async for item in items:
                yield item

    async def _open(self, call: Call) -> AsyncGenerator[StreamItem]:
        """The first stream that says something, and what it said in `call.first`."""
        while True:
            taken: Place | None = None
            try:
                decision = self._decide(call)
                if isinstance(decision, Ask):
                    taken = self._take(call, decision.place)
            finally:
                # Whoever was called out of a line and took no place there has called nobody else yet.
                for line in call.left:
                    line.wake()
                call.left = ()
            match decision:
                case Ask(place):
                    opened = None if taken is None else await self._try(call, place, taken)
                    if opened is not None:
                        return opened
                case Wait(until, busy):
                    await self._wait(call, until, busy)
                case GiveUp(retry_after_s):
                    raise exhausted(call.errors, retry_after_s)

    def _take(self, call: Call, place: int) -> Place | None:
        """The place that a decision is about; None: the caller may not spend what it takes, which is noted."""
        try:
            return self._asking.take(call, self._standings[place])
        except ModelError as error:
            self._note(call, place, error)
            return None

    def _order(self, request: ModelRequest) -> Sequence[int]:
        if self._balance is Balance.ORDERED or len(self._standings) == 1:
            return self._ordered
        candidates = [
            Candidate(name=one.name, weight=one.weight, in_flight=one.in_flight) for one in self._standings
        ]
        key = sticky_key(request) if self._balance is Balance.STICKY else ""
        return order(self._balance, candidates, key=key, chance=self._chance)

    def _decide(self, call: Call) -> Decision:
        now = self._clock.now()
        deadline = call.request.context.deadline
        if deadline is not None and now >= deadline:
            raise DeadlineExceededError(repr(self), now - deadline)
        prospects = [
            Prospect(place=place, ready_at=self._ready_at(call, place, now))
            for place in call.order
            if place not in call.out
        ]
        call.woken = False
        return decide(prospects, now=now, deadline=deadline, longest_wait_s=self._retry.longest_wait_s)

    def _ready_at(self, call: Call, place: int, now: float) -> float | None:
        standing = self._standings[place]
        ready = standing.ready_at(now, call.tokens(standing), first_in_line=call.woken)
        return None if ready is None else max(ready, call.not_before.get(place, 0.0))

    async def _wait(self, call: Call, until: float | None, busy: Sequence[int]) -> None:
        now = self._clock.now()
        if not busy:
            await self._clock.sleep(max(0.0, (until or now) - now))
            return
        lines = [self._standings[place] for place in busy]
        event = lines[0].stand_in_line()
        for line in lines[1:]:
            line.join_line(event)
        ends = [end for end in (until, call.request.context.deadline) if end is not None]
        try:
            with anyio.move_on_after(min(ends) - now if ends else None):
                await event.wait()
                call.woken = True
        finally:
            for line in lines:
                line.leave_line(event)
                if event.is_set() and not call.woken:
                    line.wake()  # this caller was called and is gone: the next
            call.left = lines

    async def _try(self, call: Call, place: int, taken: Place) -> AsyncGenerator[StreamItem] | None:
        """Ask a route, and where it takes long a second one; None: what failed is noted in `call`."""
        if self._hedge is not None:
            wait_s = hedge_after_s(self._hedge, taken.standing.latencies)
            if wait_s is not None:
                return await self._race(call, place, taken, wait_s)
        items = self._asking.attempt(call, taken)
        try:
            call.first = await anext(items)
        except ModelError as error:
            self._note(call, place, error)
            return None
        return items

    async def _race(
        self, call: Call, place: int, taken: Place, wait_s: float
    ) -> AsyncGenerator[StreamItem] | None:
        """The stream of whichever of two routes says something first; None: both failed, which is noted."""
        race = Race()

        async def run(place: int, taken: Place) -> None:
            # A task that is stopped before its first step never gets to give the place back itself.
            try:
                await race.run(place, self._asking.attempt(call, taken))
            finally:
                self._asking.give_back(taken)

        async def hedge() -> None:
            await self._clock.sleep(wait_s)
            second = None if race.over.is_set() else self._second(call, place)
            if second is not None:
                try:
                    also = self._asking.take(call, self._standings[second])
                except ModelError as error:
                    race.failures.append((second, error))
                else:
                    await run(second, also)

        decided = False
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, place, taken)
                tasks.start_soon(hedge)
                await race.over.wait()
                tasks.cancel_scope.cancel()
            decided = True
        finally:
            if not decided:
                await race.abandon()
        if race.winner is None or race.first is None:
            for failed, error in race.failures:
                self._note(call, failed, error)
            return None
        call.first = race.first
        return race.winner

    def _second(self, call: Call, first: int) -> int | None:
        """The route that may be asked now besides the first, if there is one."""
        now = self._clock.now()
        for place in call.order:
            if place != first and place not in call.out:
                ready = self._ready_at(call, place, now)
                if ready is not None and ready <= now:
                    return place
        return None

    def _note(self, call: Call, place: int, error: ModelError) -> None:
        """Remember a failure for the next decision, or raise it where nothing else can help."""
        found = verdict(error)
        if found is Verdict.NOWHERE:
            raise error
        call.errors.append((self._standings[place].name, error))
        failures = call.failures[place] = call.failures.get(place, 0) + 1
        if found is Verdict.ELSEWHERE or failures >= self._retry.attempts:
            call.out.add(place)
        else:
            call.not_before[place] = self._clock.now() + backoff_s(self._retry, failures, self._chance())


def _standings(routes: Sequence[ChatModel | Route], policy: BreakerPolicy) -> list[Standing]:
    """One for each route; a name that is taken gets a number, because balancing and reports go by names."""
    found: dict[str, Standing] = {}
    for one in routes:
        route = one if isinstance(one, Route) else Route(model=one)
        if not 0 < route.weight < sys.float_info.max:
            raise ConfigurationError(f"the weight of a route is {route.weight}; it must be above 0")
        name = wanted = route.name or route.model.profile.name
        number = 1
        while name in found:
            number += 1
            name = f"{wanted}#{number}"
        found[name] = Standing(route, name, policy)
    return list(found.values())
