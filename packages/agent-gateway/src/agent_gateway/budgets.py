"""What callers may spend: tokens and money, by tenant and by key. Pure: the time is an argument.

Before a request its dearest outcome is set aside, after it what it took is counted. So requests that run at the same
time cannot spend the same money, and as long as no request takes more than its estimate, no budget is exceeded.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from agent_core.chat import CallContext
from agent_core.messages import Usage
from agent_gateway.errors import BudgetExceededError, UnknownPriceError

Payer: TypeAlias = tuple[Literal["tenant", "key"], str]
"""Who pays: a tenant, or the key that a caller came with."""
EVERYBODY_ELSE = "*"
"""The name under which a budget is for each tenant or key that has none of its own."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What one tenant or key may spend; None: no limit of that kind."""

    cost_usd: float | None = None
    tokens: int | None = None
    period_s: float | None = None
    """After so many seconds, counted from 1970, everything may be spent again: 86,400 is a day in UTC. None: never."""


class Spending(msgspec.Struct, kw_only=True):
    """What one payer has spent in one period."""

    period: int = 0
    cost_usd: float = 0.0
    tokens: int = 0
    held_usd: float = 0.0
    """Set aside for requests under way."""
    held_tokens: int = 0


class Hold(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What was set aside for one request."""

    payers: tuple[Payer, ...]
    cost_usd: float | None
    tokens: int


NO_HOLD = Hold(payers=(), cost_usd=None, tokens=0)


class Budgets:
    """The budgets and what was spent of them, in memory; `dump` and `restore` carry it over a restart."""

    def __init__(
        self, *, tenants: Mapping[str, Budget] | None = None, keys: Mapping[str, Budget] | None = None
    ) -> None:
        """Budgets by the names in a request's context; the name `*` is for each one that is not listed."""
        self._budgets: dict[Literal["tenant", "key"], Mapping[str, Budget]] = {
            "tenant": tenants or {},
            "key": keys or {},
        }
        self._spent: dict[Payer, Spending] = {}

    def hold(self, context: CallContext, *, tokens: int, cost_usd: float | None, now: float) -> Hold:
        """Set aside what a request may take.

        Args:
            context: Who asks.
            tokens: The most that it can take, of prompt and reply together.
            cost_usd: What that costs; None: not known.
            now: Seconds since the epoch.

        Raises:
            BudgetExceededError: a tenant's or a key's budget does not have that much left.
            UnknownPriceError: a budget is in money, and what the request costs is not known.
        """
        payers = self._payers(context)
        for payer, budget in payers:
            spending = self._spending(payer, budget, now)
            if budget.tokens is not None and spending.tokens + spending.held_tokens + tokens > budget.tokens:
                left = max(0, budget.tokens - spending.tokens - spending.held_tokens)
                raise BudgetExceededError(
                    *payer, f"{left:,} of {budget.tokens:,} tokens are left", f"{tokens:,}"
                )
            if budget.cost_usd is None:
                continue
            if cost_usd is None:
                raise UnknownPriceError(*payer)
            left_usd = budget.cost_usd - spending.cost_usd - spending.held_usd
            if cost_usd > left_usd:
                left_words = f"{max(0.0, left_usd):.4f} of {budget.cost_usd:.4f} USD are left"
                raise BudgetExceededError(*payer, left_words, f"{cost_usd:.4f} USD")
        for payer, _ in payers:
            self._spent[payer].held_tokens += tokens
            self._spent[payer].held_usd += cost_usd or 0.0
        if not payers:
            return NO_HOLD
        return Hold(payers=tuple(payer for payer, _ in payers), cost_usd=cost_usd, tokens=tokens)

    def settle(self, hold: Hold, usage: Usage | None, now: float) -> None:
        """Count what a request took and free the rest.

        Args:
            hold: What `hold` returned.
            usage: What the reply says it took. None: the request began to answer and was broken off, so that nobody
                knows; all that was set aside counts as spent. `Usage()`: nothing was answered.
            now: Seconds since the epoch.
        """
        for payer in hold.payers:
            budget = self._budget(payer)
            spending = self._spending(payer, budget, now)
            spending.held_tokens = max(0, spending.held_tokens - hold.tokens)
            spending.held_usd = max(0.0, spending.held_usd - (hold.cost_usd or 0.0))
            spending.tokens += hold.tokens if usage is None else usage.total_tokens
            spending.cost_usd += _cost(hold, usage)

    def spent(self, payer: Payer, now: float) -> Spending:
        """What `payer` has spent in the period of `now`."""
        return self._spending(payer, self._budget(payer), now)

    def dump(self) -> bytes:
        """What was spent, for `restore`; what is set aside for requests under way counts as spent."""
        rows = [
            (kind, name, row.period, row.cost_usd + row.held_usd, row.tokens + row.held_tokens)
            for (kind, name), row in self._spent.items()
        ]
        return msgspec.json.encode(rows)

    def restore(self, content: bytes) -> None:
        """Go on from what `dump` returned.

        Raises:
            msgspec.ValidationError, msgspec.DecodeError: it is not that.
        """
        rows = msgspec.json.decode(content, type=list[tuple[Literal["tenant", "key"], str, int, float, int]])
        for kind, name, period, cost_usd, tokens in rows:
            self._spent[kind, name] = Spending(period=period, cost_usd=cost_usd, tokens=tokens)

    def _payers(self, context: CallContext) -> list[tuple[Payer, Budget]]:
        found: list[tuple[Payer, Budget]] = []
        payers: tuple[Payer, ...] = (("tenant", context.tenant), ("key", context.key_id))
        for payer in payers:
            budget = self._budget(payer)
            if budget is not None:
                found.append((payer, budget))
        return found

    def _budget(self, payer: Payer) -> Budget | None:
        kind, name = payer
        budgets = self._budgets[kind]
        return budgets.get(name) or budgets.get(EVERYBODY_ELSE)

    def _spending(self, payer: Payer, budget: Budget | None, now: float) -> Spending:
        """The row of `payer`, emptied where a new period has begun; what is set aside is still under way."""
        period = int(now // budget.period_s) if budget and budget.period_s else 0
        row = self._spent.get(payer)
        if row is None:
            row = self._spent[payer] = Spending(period=period)
        elif period > row.period:
            row.period, row.cost_usd, row.tokens = period, 0.0, 0
        return row


def _cost(hold: Hold, usage: Usage | None) -> float:
    """What to count in money: the reply's own cost, the whole hold where nobody knows."""
    if usage is None or (usage.cost_usd is None and usage.total_tokens):
        return hold.cost_usd or 0.0
    return usage.cost_usd or 0.0
