"""What is decided next, as a table, and its laws."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.chat import ModelProfile, ModelRequest
from agent_core.errors import ContextTooLongError, ModelError, ModelRefusedError, ModelUnavailableError
from agent_core.messages import File, Image, Message, Opaque, Reasoning, Text, user
from agent_core.tools import ToolCall, ToolResult, ToolSpec
from agent_gateway.errors import (
    BudgetExceededError,
    ConstraintUnsupportedError,
    CredentialsError,
    DeadlineExceededError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    RoutesExhaustedError,
    UnknownPriceError,
    UnknownRemoteModelError,
    WeightsError,
)
from agent_gateway.routing import (
    Ask,
    GiveUp,
    Prospect,
    Verdict,
    Wait,
    counts_against,
    decide,
    estimated_prompt_tokens,
    exhausted,
    reply_tokens,
    verdict,
)

NOW = 1_000.0
UNAVAILABLE = ProviderUnavailableError("w", "r", status=500)
LIMITED = RateLimitedError("w", "r", status=429, retry_after_s=7.0)
TOO_LONG = ContextTooLongError("m", 10, 5)
ERRORS: dict[str, tuple[ModelError, Verdict, bool]] = {
    "500": (UNAVAILABLE, Verdict.LATER, True),
    "429 with a wait": (LIMITED, Verdict.LATER, False),
    "429 of the older kind": (
        ProviderUnavailableError("w", "r", status=429, retry_after_s=1.0),
        Verdict.LATER,
        False,
    ),
    "429 without a wait": (RateLimitedError("w", "r", status=429), Verdict.LATER, True),
    "another's unavailable": (ModelUnavailableError("x"), Verdict.LATER, True),
    "weights": (WeightsError(Path("x"), "r", "a"), Verdict.ELSEWHERE, True),
    "too long": (TOO_LONG, Verdict.ELSEWHERE, False),
    "key": (CredentialsError("w", "r", setting="s", status=401), Verdict.ELSEWHERE, True),
    "no such model": (UnknownRemoteModelError("w", "r", status=404), Verdict.ELSEWHERE, True),
    "constraint": (ConstraintUnsupportedError("s", "choice"), Verdict.ELSEWHERE, False),
    "budget": (BudgetExceededError("tenant", "a", "0 left", "5"), Verdict.ELSEWHERE, False),
    "price": (UnknownPriceError("tenant", "a"), Verdict.ELSEWHERE, False),
    "payment": (ProviderRefusedError("w", "r", status=402), Verdict.ELSEWHERE, False),
    "bad request": (ProviderRefusedError("w", "r", status=400), Verdict.NOWHERE, False),
    "another's refusal": (ModelRefusedError("x"), Verdict.NOWHERE, False),
    "deadline": (DeadlineExceededError("w", 1.0), Verdict.NOWHERE, False),
}


@pytest.mark.parametrize(("error", "expected", "against"), ERRORS.values(), ids=ERRORS.keys())
def test_what_an_error_says(error: ModelError, expected: Verdict, against: bool) -> None:
    assert verdict(error) is expected
    assert counts_against(error) == against


def prospects(*ready: float | None) -> list[Prospect]:
    return [Prospect(place=place, ready_at=at) for place, at in enumerate(ready)]


DECISIONS = {
    "the first that may": ([NOW - 1, NOW], None, Ask(0)),
    "fall back before backing off": ([NOW + 5, NOW], None, Ask(1)),
    "a busy one is passed over": ([None, NOW], None, Ask(1)),
    "back off for the earliest": ([NOW + 5, NOW + 2], None, Wait(NOW + 2)),
    "wait for room": ([None], None, Wait(None, (0,))),
    "wait for room or time": ([None, NOW + 2], None, Wait(NOW + 2, (0,))),
    "wait for room, the time being too far": ([None, NOW + 99], None, Wait(None, (0,))),
    "none left": ([], None, GiveUp()),
    "never": ([math.inf], None, GiveUp()),
    "longer than anybody waits": ([NOW + 61], None, GiveUp(61.0)),
    "as long as one waits": ([NOW + 60], None, Wait(NOW + 60)),
    "after the deadline": ([NOW + 5], NOW + 4, GiveUp(5.0)),
    "at the deadline": ([NOW + 5], NOW + 5, GiveUp(5.0)),
    "before the deadline": ([NOW + 5], NOW + 6, Wait(NOW + 5)),
}


@pytest.mark.parametrize(("ready", "deadline", "expected"), DECISIONS.values(), ids=DECISIONS.keys())
def test_what_is_done_next(ready: list[float | None], deadline: float | None, expected: object) -> None:
    assert decide(prospects(*ready), now=NOW, deadline=deadline, longest_wait_s=60.0) == expected


times = st.none() | st.just(math.inf) | st.floats(0, 5_000)


@given(st.lists(times, max_size=6), st.floats(0, 4_000), st.none() | st.floats(0, 5_000), st.floats(0, 200))
def test_no_wait_is_longer_than_it_may_be(
    ready: list[float | None], now: float, deadline: float | None, longest: float
) -> None:
    found = decide(prospects(*ready), now=now, deadline=deadline, longest_wait_s=longest)
    open_now = [place for place, at in enumerate(ready) if at is not None and at <= now]
    match found:
        case Ask(place):
            assert place == open_now[0]
        case Wait(until, busy):
            assert not open_now
            assert list(busy) == [place for place, at in enumerate(ready) if at is None]
            assert until is not None or busy
            if until is not None:
                assert now < until <= now + longest
                assert deadline is None or until < deadline
        case GiveUp():
            assert not open_now
            assert None not in ready


def test_one_route_s_error_is_told_as_it_is() -> None:
    assert exhausted([("a", UNAVAILABLE)], None) is UNAVAILABLE
    assert exhausted([("a", UNAVAILABLE), ("a", LIMITED)], 3.0) is LIMITED


def test_several_are_told_by_name_with_the_wait() -> None:
    error = exhausted([("a", UNAVAILABLE), ("b", LIMITED)], 3.0)
    assert isinstance(error, RoutesExhaustedError)
    assert error.retry_after_s == 3.0
    assert dict(error.errors) == {"a": UNAVAILABLE, "b": LIMITED}
    assert "a: w is not available" in str(error)


def test_where_every_route_refuses_so_does_the_router() -> None:
    key = ERRORS["key"][0]
    assert exhausted([("a", key), ("b", ERRORS["budget"][0])], None) is key
    larger = ContextTooLongError("m", 10, 8)
    assert exhausted([("a", TOO_LONG), ("b", larger)], None) is larger
    assert exhausted([("a", key), ("b", TOO_LONG)], None) is TOO_LONG
    mixed = exhausted([("a", TOO_LONG), ("b", UNAVAILABLE)], None)
    assert isinstance(mixed, RoutesExhaustedError)
    assert mixed.retryable
    hopeless = exhausted([("a", key), ("b", ERRORS["weights"][0])], None)
    assert isinstance(hopeless, RoutesExhaustedError)
    assert not hopeless.retryable


def test_nothing_was_tried() -> None:
    error = exhausted([], 12.0)
    assert isinstance(error, RoutesExhaustedError)
    assert "over its limits" in str(error)
    assert "12.0 s" in str(error)


def test_an_estimate_counts_every_part() -> None:
    call = ToolCall(tool_call_id="c", name="t", arguments={"a": "x" * 300})
    tool = ToolSpec(name="t", description="d" * 300, parameters={"type": "object"})
    plain = estimated_prompt_tokens(ModelRequest(messages=(user("hello"),)))
    parts = (
        Text(text="x" * 300),
        Reasoning(text="x" * 300),
        ToolResult(tool_call_id="c", content="x" * 300),
        call,
        Image(data=b"x"),
        ToolResult(tool_call_id="c", content="a map", attachments=(Image(data=b"x"),)),
        File(data=b"x" * 100_000),
        Opaque(origin="o", item={"a": "x" * 300}),
    )
    for part in parts:
        request = ModelRequest(messages=(Message(role="user", parts=(part,)),))
        assert estimated_prompt_tokens(request) >= 100, part
    assert estimated_prompt_tokens(ModelRequest(messages=(user("hello"),), tools=(tool,))) >= plain + 100


def test_a_reply_is_reckoned_as_long_as_it_may_be() -> None:
    profile = ModelProfile(name="m", reply_tokens=99)
    assert reply_tokens(ModelRequest(messages=()), profile) == 99
    assert reply_tokens(ModelRequest(messages=(), max_output_tokens=7), profile) == 7
