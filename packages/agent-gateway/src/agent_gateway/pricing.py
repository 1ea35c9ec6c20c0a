"""What tokens cost, from a table that is data and has dates: `prices.json` beside this file, and files of your own.

A price that is not known is not zero: the cost of a reply is None as soon as one class of its tokens has no price.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec

from agent_core.messages import Usage
from agent_gateway.errors import PriceTableError

_MILLION = 1e6
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)$")
"""The end of a model's name that names a day, such as `-2026-03-05`: priced as the model without it."""


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD a million tokens, by the classes of `Usage`. None: not known."""

    input: float | None = None
    output: float | None = None
    """Of reasoning too, unless `reasoning` says otherwise."""
    cached_input: float | None = None
    cache_write: float | None = None
    """At the shortest time to live that the provider sells."""
    reasoning: float | None = None


class Price(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model costs from a day on."""

    since: str
    """The first day, as `YYYY-MM-DD`: the day that the source gives, else the day on which it was read."""
    source: str = ""
    """The page that says so."""
    long_prompt_tokens: int | None = None
    """A prompt of more tokens, cached ones included, costs the rates `long` for the whole request."""
    long: Rates | None = None


class PriceTable:
    """Prices by the names of models, such as `openai:gpt-5.4`; a name that ends in `*` stands for all that begin so."""

    def __init__(self, prices: Mapping[str, Sequence[Price]]) -> None:
        """`prices`: for each name what it costs, in any order; the latest that has begun is in force."""
        self._prices = {
            name: tuple(sorted(entries, key=lambda price: price.since, reverse=True))
            for name, entries in prices.items()
        }

    @classmethod
    def builtin(cls) -> "PriceTable":
        """The table of this release, read once."""
        return _builtin()

    @classmethod
    def load(cls, path: Path) -> "PriceTable":
        """The table in the file `path`: JSON in the form of `prices.json`.

        Raises:
            PriceTableError: the file cannot be read, or is not in that form.
        """
        try:
            return cls(_decode(path.read_bytes()))
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise PriceTableError(path, str(error)) from error

    def overridden_by(self, other: "PriceTable") -> "PriceTable":
        """The same table with the models of `other` in the place of its own."""
        return PriceTable({**self.prices, **other.prices})

    @property
    def prices(self) -> Mapping[str, Sequence[Price]]:
        """By name, the latest first."""
        return self._prices

    def __len__(self) -> int:
        return len(self._prices)

    def price(self, model: str, now: float) -> Price | None:
        """What `model` costs at `now` (seconds since the epoch), or None where that is not known."""
        entries = self._prices.get(model) or self._prices.get(_SNAPSHOT.sub("", model))
        if entries is None:
            entries = next(
                (
                    found
                    for name, found in self._prices.items()
                    if name.endswith("*") and model.startswith(name[:-1])
                ),
                (),
            )
        day = datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%d") if entries else ""
        return next((price for price in entries if price.since <= day), None)

    def cost_usd(self, model: str, usage: Usage, now: float) -> float | None:
        """What a reply of `model` cost, or None where a class of its tokens has no known price."""
        price = self.price(model, now)
        return None if price is None else cost_usd(price, usage)


def cost_usd(price: Price, usage: Usage) -> float | None:
    """What `usage` costs in USD, or None where a class of its tokens has no known price."""
    rates: Rates = price
    if price.long is not None and usage.prompt_tokens > (price.long_prompt_tokens or 0):
        rates = price.long
    classes = (
        (usage.input_tokens, rates.input),
        (usage.cached_input_tokens, rates.cached_input),
        (usage.cache_write_tokens, rates.cache_write),
        (usage.output_tokens, rates.output),
        (usage.reasoning_tokens, rates.output if rates.reasoning is None else rates.reasoning),
    )
    total = 0.0
    for tokens, rate in classes:
        if tokens:
            if rate is None:
                return None
            total += tokens * rate
    return total / _MILLION


@cache
def _builtin() -> PriceTable:
    return PriceTable(_decode(resources.files("agent_gateway").joinpath("prices.json").read_bytes()))


class _File(msgspec.Struct, forbid_unknown_fields=True):
    models: dict[str, list[Price]]
    about: str = ""


def _decode(content: bytes) -> dict[str, list[Price]]:
    models = msgspec.json.decode(content, type=_File).models
    for name, prices in models.items():
        for price in prices:
            _check(name, price)
    return models


def _check(name: str, price: Price) -> None:
    """A day that is none would be compared as text and never come; a price below zero would pay for calls."""
    datetime.strptime(price.since, "%Y-%m-%d").replace(tzinfo=UTC)
    for rates in (price, price.long):
        if rates is None:
            continue
        numbers = (rates.input, rates.output, rates.cached_input, rates.cache_write, rates.reasoning)
        if any(number is not None and not 0 <= number < float("inf") for number in numbers):
            message = f"a price of {name!r} is below zero or no number"
            raise ValueError(message)
