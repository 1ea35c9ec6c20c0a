"""What callers may spend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import CallContext
from agent_core.messages import Usage
from agent_gateway.budgets import NO_HOLD, Budget, Budgets
from agent_gateway.errors import BudgetExceededError, UnknownPriceError

NOW = 1_700_000_000.0
ANN = CallContext(tenant="a", key_id="k1")


def usd(cost: float, tokens: int = 10) -> Usage:
    return Usage(input_tokens=tokens, cost_usd=cost)


def test_money_is_counted_and_ends() -> None:
    budgets = Budgets(tenants={"a": Budget(cost_usd=1.0)})
    for _ in range(2):
        budgets.settle(budgets.hold(ANN, tokens=100, cost_usd=0.5, now=NOW), usd(0.4), NOW)
    assert budgets.spent(("tenant", "a"), NOW).cost_usd == pytest.approx(0.8)
    with pytest.raises(BudgetExceededError, match=r"tenant 'a'.*0\.2000 of 1\.0000 USD are left.*0\.5000"):
        budgets.hold(ANN, tokens=100, cost_usd=0.5, now=NOW)
    budgets.hold(ANN, tokens=100, cost_usd=0.19, now=NOW)


def test_tokens_are_counted_and_end() -> None:
    budgets = Budgets(keys={"k1": Budget(tokens=100)})
    budgets.settle(budgets.hold(ANN, tokens=60, cost_usd=None, now=NOW), Usage(output_tokens=50), NOW)
    with pytest.raises(BudgetExceededError, match=r"key 'k1'.*50 of 100 tokens"):
        budgets.hold(ANN, tokens=51, cost_usd=None, now=NOW)


def test_what_is_under_way_is_set_aside() -> None:
    budgets = Budgets(tenants={"a": Budget(cost_usd=1.0)})
    first = budgets.hold(ANN, tokens=1, cost_usd=0.7, now=NOW)
    with pytest.raises(BudgetExceededError):
        budgets.hold(ANN, tokens=1, cost_usd=0.7, now=NOW)
    budgets.settle(first, Usage(), NOW)  # nothing was answered
    budgets.hold(ANN, tokens=1, cost_usd=0.7, now=NOW)


def test_both_pay_and_the_smaller_decides() -> None:
    budgets = Budgets(tenants={"a": Budget(tokens=1_000)}, keys={"k1": Budget(tokens=10)})
    with pytest.raises(BudgetExceededError, match="key"):
        budgets.hold(ANN, tokens=11, cost_usd=None, now=NOW)
    assert budgets.spent(("tenant", "a"), NOW).held_tokens == 0, "who is refused holds nothing"
    budgets.settle(budgets.hold(ANN, tokens=9, cost_usd=None, now=NOW), Usage(input_tokens=9), NOW)
    assert budgets.spent(("tenant", "a"), NOW).tokens == budgets.spent(("key", "k1"), NOW).tokens == 9


def test_a_budget_in_money_needs_a_price() -> None:
    budgets = Budgets(tenants={"a": Budget(cost_usd=1.0)})
    with pytest.raises(UnknownPriceError, match="file of prices"):
        budgets.hold(ANN, tokens=1, cost_usd=None, now=NOW)


def test_everybody_else_has_the_star_s() -> None:
    budgets = Budgets(tenants={"*": Budget(tokens=10), "rich": Budget()})
    for tenant in ("b", "c"):
        budgets.settle(
            budgets.hold(CallContext(tenant=tenant), tokens=10, cost_usd=None, now=NOW),
            Usage(input_tokens=10),
            NOW,
        )
        with pytest.raises(BudgetExceededError):
            budgets.hold(CallContext(tenant=tenant), tokens=1, cost_usd=None, now=NOW)
    budgets.hold(CallContext(tenant="rich"), tokens=10**9, cost_usd=None, now=NOW)
    assert (
        Budgets(tenants={"a": Budget(tokens=1)}).hold(CallContext(), tokens=9, cost_usd=None, now=NOW)
        is NO_HOLD
    )


def test_a_new_period_begins_with_nothing_spent() -> None:
    budgets = Budgets(tenants={"a": Budget(tokens=10, period_s=86_400)})
    budgets.settle(budgets.hold(ANN, tokens=10, cost_usd=None, now=NOW), Usage(input_tokens=10), NOW)
    with pytest.raises(BudgetExceededError):
        budgets.hold(ANN, tokens=1, cost_usd=None, now=NOW)
    budgets.hold(ANN, tokens=10, cost_usd=None, now=NOW + 86_400)


def test_a_request_over_midnight_is_paid_for_when_it_ends() -> None:
    budgets = Budgets(tenants={"a": Budget(tokens=10, period_s=86_400)})
    hold = budgets.hold(ANN, tokens=10, cost_usd=None, now=NOW)
    with pytest.raises(BudgetExceededError):
        budgets.hold(ANN, tokens=1, cost_usd=None, now=NOW + 86_400)
    budgets.settle(hold, Usage(input_tokens=4), NOW + 86_400)
    assert budgets.spent(("tenant", "a"), NOW + 86_400).tokens == 4


def test_what_broke_off_counts_at_its_most() -> None:
    budgets = Budgets(tenants={"a": Budget(cost_usd=1.0)})
    budgets.settle(budgets.hold(ANN, tokens=7, cost_usd=0.5, now=NOW), None, NOW)
    spent = budgets.spent(("tenant", "a"), NOW)
    assert (spent.tokens, spent.cost_usd, spent.held_tokens, spent.held_usd) == (7, 0.5, 0, 0.0)


def test_a_cost_that_nobody_knows_counts_at_its_most() -> None:
    budgets = Budgets(tenants={"a": Budget(cost_usd=1.0)})
    budgets.settle(budgets.hold(ANN, tokens=7, cost_usd=0.5, now=NOW), Usage(input_tokens=3), NOW)
    assert budgets.spent(("tenant", "a"), NOW).cost_usd == 0.5


def test_it_is_carried_over_a_restart() -> None:
    budgets = Budgets(tenants={"a": Budget(tokens=100)})
    budgets.settle(budgets.hold(ANN, tokens=10, cost_usd=None, now=NOW), Usage(input_tokens=10), NOW)
    budgets.hold(ANN, tokens=20, cost_usd=None, now=NOW)  # under way when the process ends
    again = Budgets(tenants={"a": Budget(tokens=100)})
    again.restore(budgets.dump())
    assert again.spent(("tenant", "a"), NOW).tokens == 30


steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.floats(0, 1), st.integers(0, 3)), max_size=60
)


@given(steps)
def test_a_budget_is_never_exceeded(story: list[tuple[str, int, float, int]]) -> None:
    """Whatever runs at the same time, as long as no request takes more than was set aside for it."""
    budgets = Budgets(tenants={"*": Budget(tokens=100, cost_usd=1.0)})
    under_way = []
    for tenant, tokens, share, finish in story:
        context = CallContext(tenant=tenant)
        try:
            hold = budgets.hold(context, tokens=tokens, cost_usd=tokens / 100, now=NOW)
        except BudgetExceededError:
            pass
        else:
            under_way.append((hold, int(tokens * share)))
        for _ in range(min(finish, len(under_way))):
            hold, taken = under_way.pop(0)
            budgets.settle(hold, Usage(input_tokens=taken, cost_usd=taken / 100), NOW)
        for name in "ab":
            spent = budgets.spent(("tenant", name), NOW)
            assert spent.tokens + spent.held_tokens <= 100
            assert spent.cost_usd + spent.held_usd <= 1.0 + 1e-9
    for hold, taken in under_way:
        budgets.settle(hold, Usage(input_tokens=taken, cost_usd=taken / 100), NOW)
    for name in "ab":
        assert budgets.spent(("tenant", name), NOW).held_tokens == 0
