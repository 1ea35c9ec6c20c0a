"""What a reply costs, and that the table is well formed."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.messages import Usage
from agent_gateway.embeddings import EMBEDDING_DIALECTS
from agent_gateway.errors import PriceTableError
from agent_gateway.pricing import Price, PriceTable, Rates, cost_usd
from agent_gateway.providers import PROVIDERS

NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
PRICE = Price(since="2026-01-01", input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)
TIERED = Price(
    since="2026-01-01",
    input=1.0,
    output=2.0,
    cached_input=0.1,
    long_prompt_tokens=1_000,
    long=Rates(input=10.0, output=20.0, cached_input=1.0),
)
M = 1_000_000
COSTS = {
    "input": (PRICE, Usage(input_tokens=M), 3.0),
    "output": (PRICE, Usage(output_tokens=M), 15.0),
    "a cached token once, at its own price": (PRICE, Usage(input_tokens=M, cached_input_tokens=M), 3.3),
    "a written token once, at its own price": (PRICE, Usage(cache_write_tokens=M), 3.75),
    "reasoning as output": (PRICE, Usage(output_tokens=M, reasoning_tokens=M), 30.0),
    "reasoning at its own price": (
        Price(since="2026-01-01", output=15.0, reasoning=1.0),
        Usage(reasoning_tokens=M),
        1.0,
    ),
    "nothing": (PRICE, Usage(), 0.0),
    "a class without a price": (
        Price(since="2026-01-01", input=1.0),
        Usage(input_tokens=1, output_tokens=1),
        None,
    ),
    "a class without a price and without tokens": (
        Price(since="2026-01-01", input=1.0),
        Usage(input_tokens=M),
        1.0,
    ),
    "a prompt up to the limit": (
        TIERED,
        Usage(input_tokens=600, cached_input_tokens=400, output_tokens=M),
        2.00064,
    ),
    "a prompt over it": (TIERED, Usage(input_tokens=601, cached_input_tokens=400, output_tokens=M), 20.00641),
    "what is written makes it long too": (
        TIERED,
        Usage(input_tokens=1_000, cache_write_tokens=1),
        None,
    ),
}


@pytest.mark.parametrize(("price", "usage", "cost"), COSTS.values(), ids=COSTS.keys())
def test_each_class_is_priced_once(price: Price, usage: Usage, cost: float | None) -> None:
    assert cost_usd(price, usage) == (None if cost is None else pytest.approx(cost))


tokens = st.integers(0, 10_000)
usages = st.builds(
    Usage,
    input_tokens=tokens,
    output_tokens=tokens,
    cached_input_tokens=tokens,
    cache_write_tokens=tokens,
    reasoning_tokens=tokens,
)


@given(usages, usages)
def test_costs_add_up(one: Usage, other: Usage) -> None:
    """Without tiers, two replies cost what their tokens together cost."""
    total = cost_usd(PRICE, one + other)
    parts = [cost_usd(PRICE, one), cost_usd(PRICE, other)]
    assert total is not None
    assert total == pytest.approx(sum(part for part in parts if part is not None))


def test_the_price_of_the_day_is_in_force() -> None:
    table = PriceTable(
        {
            "m": [
                Price(since="2026-10-01", input=2.0),
                Price(since="2027-01-01", input=4.0),
                Price(since="2026-05-01", input=1.0),
            ]
        }
    )
    for day, rate in (("2026-04-30", None), ("2026-05-01", 1.0), ("2026-11-22", 2.0), ("2027-01-01", 4.0)):
        at = datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
        assert table.cost_usd("m", Usage(input_tokens=M), at) == rate


def test_names_of_snapshots_and_of_families() -> None:
    table = PriceTable(
        {"p:m": [PRICE], "p:m-mini": [TIERED], "local:*": [Price(since="1970-01-01", input=0.0)]}
    )
    for name, price in {
        "p:m": PRICE,
        "p:m-2026-03-05": PRICE,
        "p:m-20260305": PRICE,
        "p:m-latest": PRICE,
        "p:m-mini-2026-03-05": TIERED,
        "p:m-maxi": None,
        "p:m-2": None,
        "q:m": None,
        "": None,
    }.items():
        assert table.price(name, NOW) == price, name
    assert table.cost_usd("local:any", Usage(input_tokens=5), NOW) == 0.0
    assert table.cost_usd("local:any", Usage(output_tokens=5), NOW) is None


def test_the_table_of_this_release() -> None:
    table = PriceTable.builtin()
    assert len(table) > 30
    today = datetime.now(UTC).date()
    for name, prices in table.prices.items():
        assert name.partition(":")[0] in {"local", *PROVIDERS, *EMBEDDING_DIALECTS}
        assert len({price.since for price in prices}) == len(prices), name
        for price in prices:
            assert price.source, name
            assert date.fromisoformat(price.since) <= today.replace(year=today.year + 2)
            assert price.input is not None, name
            if price.output is not None and name != "local:*":
                assert price.output > price.input > 0, name
            if price.cached_input is not None and name != "local:*":
                assert 0 < price.cached_input < price.input, name
            assert (price.long is None) == (price.long_prompt_tokens is None), name


def test_known_models_cost_what_their_makers_say() -> None:
    table = PriceTable.builtin()
    usage = Usage(input_tokens=1_000, cached_input_tokens=10_000, cache_write_tokens=2_000, output_tokens=500)
    assert table.cost_usd("anthropic:claude-opus-5", usage, NOW) == pytest.approx(
        0.005 + 0.005 + 0.0125 + 0.0125
    )
    thought = Usage(input_tokens=1_000, output_tokens=100, reasoning_tokens=900)
    assert table.cost_usd("openai:gpt-5.4", thought, NOW) == pytest.approx(0.0025 + 0.015)
    # A class that the source names no price for: unknown, and not free.
    assert table.cost_usd("openai:gpt-5.4", usage, NOW) is None
    assert table.cost_usd("openai:nobody-knows", thought, NOW) is None
    cached = Usage(input_tokens=1_000, cached_input_tokens=1_000, output_tokens=1_000)
    assert table.cost_usd("groq:openai/gpt-oss-120b", cached, NOW) == pytest.approx(0.000825)
    assert table.cost_usd("mistral:mistral-medium-3.5", cached, NOW) is None
    assert table.cost_usd("xai:grok-4.7", Usage(input_tokens=200_000), NOW) == pytest.approx(0.8)
    assert table.cost_usd("xai:grok-4.3", Usage(input_tokens=200_000), NOW) == pytest.approx(0.25)
    assert table.cost_usd("xai:grok-4.3", Usage(input_tokens=200_001), NOW) is None
    assert table.cost_usd("voyage:voyage-4-lite", Usage(input_tokens=M), NOW) == 0.02
    assert table.cost_usd("local:smollm2-135m", usage, NOW) == 0.0


def test_a_file_overrides_model_by_model(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    models = {
        "openai:gpt-5.4": [{"since": "2026-01-01", "input": 1, "output": 1}],
        "mine:m": [{"since": "2026-01-01", "input": 7}],
    }
    path.write_text(json.dumps({"models": models}))
    table = PriceTable.builtin().overridden_by(PriceTable.load(path))
    assert table.cost_usd("openai:gpt-5.4", Usage(input_tokens=M), NOW) == 1.0
    assert table.cost_usd("mine:m", Usage(input_tokens=M), NOW) == 7.0
    assert table.cost_usd("openai:gpt-4o", Usage(input_tokens=M), NOW) == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"models": {"m": {"input": 1}}}',
        '{"models": {"m": [{"input": 1}]}}',
        '{"models": {"m": [{"since": "soon", "input": 1}]}}',
        '{"models": {"m": [{"since": "2026-13-01", "input": 1}]}}',
        '{"models": {"m": [{"since": "2026-01-01", "input": -1}]}}',
        '{"models": {"m": [{"since": "2026-01-01", "inptu": 1}]}}',
        '{"models": {"m": [{"since": "2026-01-01", "input": 1, "long_prompt_tokens": 5, "long": {"output": -2}}]}}',
    ],
)
def test_a_file_that_is_none_says_which_and_why(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(PriceTableError, match=r"prices\.json"):
        PriceTable.load(path)
    with pytest.raises(PriceTableError):
        PriceTable.load(tmp_path / "missing.json")
