"""One request to one route: the time it may take, what it costs, and how it is counted once it has ended.

Knows no other route: whether another is asked, and when, is the router's business.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

import anyio
import msgspec

from agent_core.chat import Completion, Delta, ModelRequest, ReasoningDelta, TextDelta, ToolCallDelta
from agent_core.errors import ModelError
from agent_core.messages import Usage
from agent_core.ports import Clock
from agent_gateway.budgets import NO_HOLD, Budgets, Hold
from agent_gateway.errors import DeadlineExceededError, ProviderTimeoutError, ProviderUnavailableError
from agent_gateway.pricing import Price, PriceTable, cost_usd
from agent_gateway.routing import estimated_prompt_tokens, reply_tokens
from agent_gateway.standing import Attempt, Outcome, Place, Standing

StreamItem: TypeAlias = Delta | Completion
_NEVER = float("inf")
_TIMER_S = 0.02
"""How much too early an event loop's timer may go off, with some to spare."""


class Call:
    """What is known of one request while routes are tried for it."""

    __slots__ = (
        "_prompt",
        "errors",
        "failures",
        "first",
        "left",
        "not_before",
        "order",
        "out",
        "request",
        "woken",
    )

    def __init__(self, request: ModelRequest, order: Sequence[int], *, counts_tokens: bool) -> None:
        """`order` holds the places of the routes, the preferred first; tokens are estimated where somebody counts."""
        self.request = request
        self.order = order
        self.out: set[int] = set()
        """The routes that are out of the question."""
        self.failures: dict[int, int] = {}
        self.not_before: dict[int, float] = {}
        self.errors: list[tuple[str, ModelError]] = []
        self.first: StreamItem
        """What the stream that is passed on said first."""
        self.woken = False
        """Whether it has just been called out of a line."""
        self.left: Sequence[Standing] = ()
        """The routes in whose lines it has just stood."""
        self._prompt = estimated_prompt_tokens(request) if counts_tokens else None

    def tokens(self, standing: Standing) -> int:
        """What the request may take at a route; 0 where nobody counts."""
        if self._prompt is None:
            return 0
        return self._prompt + reply_tokens(self.request, standing.model.profile)


class Asking:
    """Asks one route and counts how that ended."""

    def __init__(
        self,
        *,
        clock: Clock,
        budgets: Budgets | None,
        prices: PriceTable | None,
        first_word_timeout_s: float | None,
        on_attempt: Callable[[Attempt], None] | None,
    ) -> None:
        """See `Router`."""
        self._clock = clock
        self._budgets = budgets
        self._prices = prices
        self._first_word_timeout_s = first_word_timeout_s
        self._on_attempt = on_attempt

    def take(self, call: Call, standing: Standing) -> Place:
        """Take the place at a route that it was just seen to have: before anybody else can, so nothing waits here.

        Raises:
            BudgetExceededError, UnknownPriceError: the caller may not spend what the request may take.
        """
        now = self._clock.now()
        tokens = call.tokens(standing)
        return standing.begin(now, tokens, self._hold(call, standing, tokens, now))

    def give_back(self, taken: Place) -> None:
        """Give back a place whose route was never asked; one whose route was, `attempt` gives back."""
        if not taken.asked:
            taken.asked = True
            now = self._clock.now()
            taken.standing.end(taken, now, None, None)
            if self._budgets is not None:
                self._budgets.settle(taken.hold, Usage(), now)

    async def attempt(self, call: Call, taken: Place) -> AsyncGenerator[StreamItem]:
        """What a route says, from its first word on; gives the place back.

        Raises:
            DeadlineExceededError: the request's time is over.
            ModelError: what the route raised; `ProviderUnavailableError` too where it said nothing for too long.
        """
        taken.asked = True
        standing = taken.standing
        stream = standing.model.stream(call.request)
        items = self._bounded(stream, call, standing)
        usage: Usage | None = None
        error: ModelError | None = None
        try:
            async for item in items:
                if isinstance(item, Completion):
                    completion = self._priced(standing, item)
                    usage = completion.usage
                    self._end(taken, usage, None)
                    yield completion
                    return
                if taken.first_word_s is None:
                    if not says_something(item):
                        continue
                    taken.first_word_s = self._clock.now() - taken.asked_at
                yield item
            raise ProviderUnavailableError(standing.name, "its stream ended without a completion")
        except ModelError as raised:
            error = raised
            raise
        finally:
            if usage is None:
                self._end(taken, None, error)
            await items.aclose()
            await stream.aclose()

    async def within(
        self,
        stream: AsyncGenerator[StreamItem],
        *,
        deadline: float | None,
        where: str,
        first_word_s: float | None = None,
    ) -> AsyncGenerator[StreamItem]:
        """`stream` until its deadline, or until it has said nothing for too long.

        Time is measured by the clock and cut off by the event loop's timer; a virtual clock moves without the latter.

        Raises:
            DeadlineExceededError: `deadline` (seconds since the epoch) passed.
            ProviderUnavailableError: no first word within `first_word_s`.
        """
        speaks_by = _NEVER if first_word_s is None else self._clock.now() + first_word_s
        ends_at = _NEVER if deadline is None else deadline
        async with aclosing(stream) as items:
            while True:
                until = min(speaks_by, ends_at)
                item: StreamItem | None = None
                try:
                    with anyio.move_on_after(max(0.0, until - self._clock.now())):
                        item = await anext(items, None)
                        if item is None:
                            return
                except ModelError as error:
                    late_s = self._clock.now() - ends_at
                    # The client has the deadline too, and its timer may go off first.
                    is_timer = isinstance(error, ProviderTimeoutError) and error.phase == "total"
                    if late_s < (-_TIMER_S if is_timer else 0.0) or isinstance(error, DeadlineExceededError):
                        raise
                    raise DeadlineExceededError(where, max(0.0, late_s)) from error
                now = self._clock.now()
                if item is None or now > until:
                    if ends_at <= until:
                        raise DeadlineExceededError(where, max(0.0, now - ends_at))
                    raise ProviderUnavailableError(where, f"it said nothing for {first_word_s:g} s")
                yield item
                if speaks_by != _NEVER and says_something(item):
                    speaks_by = _NEVER

    def _bounded(
        self, stream: AsyncGenerator[StreamItem], call: Call, standing: Standing
    ) -> AsyncGenerator[StreamItem]:
        deadline, first_word_s = call.request.context.deadline, self._first_word_timeout_s
        if deadline is None and first_word_s is None:
            return stream
        return self.within(stream, deadline=deadline, first_word_s=first_word_s, where=standing.name)

    def _hold(self, call: Call, standing: Standing, tokens: int, now: float) -> Hold:
        if self._budgets is None:
            return NO_HOLD
        price = self._price(standing, now)
        most = None
        if price is not None:
            reply = reply_tokens(call.request, standing.model.profile)
            most = cost_usd(price, Usage(input_tokens=tokens - reply, output_tokens=reply))
        return self._budgets.hold(call.request.context, tokens=tokens, cost_usd=most, now=now)

    def _priced(self, standing: Standing, completion: Completion) -> Completion:
        """With what it cost, unless the reply says so itself or nobody knows."""
        usage = completion.usage
        if usage.cost_usd is not None or usage.total_tokens == 0:
            return completion
        price = self._price(standing, self._clock.now())
        cost = None if price is None else cost_usd(price, usage)
        if cost is None:
            return completion
        return msgspec.structs.replace(completion, usage=msgspec.structs.replace(usage, cost_usd=cost))

    def _price(self, standing: Standing, now: float) -> Price | None:
        if self._prices is None:
            self._prices = PriceTable.builtin()
        return self._prices.price(standing.model.profile.name, now)

    def _end(self, taken: Place, usage: Usage | None, error: ModelError | None) -> None:
        """Count how a request to a route ended. Neither usage nor error: the caller went away."""
        now = self._clock.now()
        taken.standing.end(taken, now, usage, error)
        if self._budgets is not None:
            # What failed before its first word is not paid for; what was broken off later is, at the most it can be.
            unpaid = usage is None and error is not None and taken.first_word_s is None
            self._budgets.settle(taken.hold, Usage() if unpaid else usage, now)
        if self._on_attempt is not None:
            outcome = Outcome.FAILED if error else Outcome.ABANDONED if usage is None else Outcome.ANSWERED
            self._on_attempt(
                Attempt(
                    route=taken.standing.name,
                    outcome=outcome,
                    seconds=now - taken.asked_at,
                    first_word_s=taken.first_word_s,
                    usage=usage,
                    error=error,
                )
            )


def says_something(item: StreamItem) -> bool:
    """Whether somebody who is shown `item` sees anything: until then another route may be asked instead."""
    match item:
        case TextDelta() | ReasoningDelta():
            return bool(item.text)
        case ToolCallDelta():
            return bool(item.name or item.arguments)
        case Completion():
            return True
