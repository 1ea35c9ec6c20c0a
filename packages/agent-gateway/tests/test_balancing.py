"""The order of the routes: shares, and who stays with whom."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import CallContext, ModelRequest
from agent_core.messages import assistant, system, user
from agent_core.tools import ToolSpec
from agent_gateway.balancing import Balance, Candidate, order, sticky_key

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)


def candidates(*weights: float, busy: tuple[int, ...] = ()) -> list[Candidate]:
    flights = busy or (0,) * len(weights)
    return [
        Candidate(name=f"r{place}", weight=weight, in_flight=flights[place])
        for place, weight in enumerate(weights)
    ]


def test_ordered_is_as_written() -> None:
    assert order(Balance.ORDERED, candidates(1, 9, 5), key="", chance=random.random) == [0, 1, 2]


def test_least_busy_goes_by_weight() -> None:
    for busy, expected in (((0, 0), [1, 0]), ((0, 5), [0, 1]), ((1, 3), [0, 1]), ((1, 2), [1, 0])):
        assert (
            order(Balance.LEAST_BUSY, candidates(1, 2, busy=busy), key="", chance=random.random) == expected
        )


def test_weights_are_shares() -> None:
    dice = random.Random(7)
    firsts = Counter(
        order(Balance.WEIGHTED, candidates(1, 3, 6), key="", chance=dice.random)[0] for _ in range(20_000)
    )
    for place, share in ((0, 0.1), (1, 0.3), (2, 0.6)):
        assert abs(firsts[place] / 20_000 - share) < 0.02


def test_sessions_are_spread_by_weight_and_stay() -> None:
    routes = candidates(1, 1, 2)
    first = {n: order(Balance.STICKY, routes, key=f"s{n}", chance=random.random)[0] for n in range(4_000)}
    shares = Counter(first.values())
    for place, share in ((0, 0.25), (1, 0.25), (2, 0.5)):
        assert abs(shares[place] / 4_000 - share) < 0.04
    again = {n: order(Balance.STICKY, routes, key=f"s{n}", chance=random.random)[0] for n in range(4_000)}
    assert again == first


def test_without_a_key_the_least_busy_comes_first() -> None:
    assert order(Balance.STICKY, candidates(1, 1, busy=(3, 0)), key="", chance=random.random) == [1, 0]


@given(NAMES, st.text(min_size=1), st.data())
def test_a_route_that_goes_moves_only_its_own_sessions(
    names: list[str], key: str, data: st.DataObject
) -> None:
    routes = [Candidate(name=name, weight=data.draw(st.floats(0.1, 10))) for name in names]
    before = [names[place] for place in order(Balance.STICKY, routes, key=key, chance=random.random)]
    gone = data.draw(st.sampled_from(names))
    left = [one for one in routes if one.name != gone]
    after = [left[place].name for place in order(Balance.STICKY, left, key=key, chance=random.random)]
    assert after == [name for name in before if name != gone]


@given(NAMES, st.sampled_from(Balance), st.text(), st.randoms(use_true_random=False))
def test_every_order_has_every_route_once(
    names: list[str], balance: Balance, key: str, dice: random.Random
) -> None:
    routes = [Candidate(name=name) for name in names]
    assert sorted(order(balance, routes, key=key, chance=dice.random)) == list(range(len(names)))


def test_a_session_keeps_its_key_while_it_grows() -> None:
    tools = (ToolSpec(name="t", description="", parameters={}),)
    start = ModelRequest(messages=(system("s"), user("hello")), tools=tools)
    later = ModelRequest(messages=(system("s"), user("hello"), assistant("hi"), user("and?")), tools=tools)
    other = ModelRequest(messages=(system("s"), user("bye")), tools=tools)
    assert sticky_key(start) == sticky_key(later) != sticky_key(other)
    named = ModelRequest(messages=(user("x"),), context=CallContext(tenant="a", session_id="1"))
    same = ModelRequest(messages=(user("y"),), context=CallContext(tenant="a", session_id="1"))
    others = ModelRequest(messages=(user("x"),), context=CallContext(tenant="b", session_id="1"))
    assert sticky_key(named) == sticky_key(same) != sticky_key(others)
