"""The curve of the waits, and what providers say of them in the bodies of their errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.retry import RetryPolicy, backoff_s, hinted_wait_s

GEMINI = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota. Please retry in 34.074824224s.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.Help", "links": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
        ],
    }
}
HINTS: dict[str, float | None] = {
    json.dumps(GEMINI): 34.0,
    json.dumps(GEMINI, indent=2): 34.0,
    '{"error": {"message": "Rate limit reached for gpt-x: Limit 3, Used 3. Please try again in 20s."}}': 20.0,
    '{"error": {"message": "Please try again in 1.2s. Visit the page."}}': 1.2,
    '{"error": {"message": "Please try again in 6m0s."}}': 360.0,
    '{"error": {"message": "Please try again in 1h2m3.5s."}}': 3_723.5,
    '{"error": {"message": "Please try again in 120ms."}}': 0.12,
    '{"error": {"message": "Please retry after 26 seconds."}}': 26.0,
    '{"error": {"message": "Try again in 2 minutes"}}': 120.0,
    '{"message": "slow down", "retry_after": 12}': 12.0,
    '{"message": "slow down", "retry_after_ms": 1500}': 1.5,
    '{"message": "slow down", "retry_after_seconds": 3.5}': 3.5,
    '{"message": "slow down", "retryAfter": "7"}': 7.0,
    '{"error": {"message": "Overloaded"}}': None,
    '{"error": {"message": "Please try again later."}}': None,
    '{"error": {"message": "Please try again in a while."}}': None,
    "<html>": None,
    "": None,
}


@pytest.mark.parametrize(("body", "seconds"), HINTS.items(), ids=[body[:40] for body in HINTS])
def test_the_wait_that_a_body_names(body: str, seconds: float | None) -> None:
    assert hinted_wait_s(body) == pytest.approx(seconds)
    assert hinted_wait_s(body.encode()) == pytest.approx(seconds)


@given(st.text() | st.binary())
def test_any_body_is_read(body: str | bytes) -> None:
    found = hinted_wait_s(body)
    assert found is None or found >= 0


def test_a_body_of_digits_is_read_in_no_time() -> None:
    """The patterns do not try every way to split a long number."""
    assert hinted_wait_s("try again in " + "1" * 60_000) is None


def test_the_curve_doubles_up_to_its_longest() -> None:
    policy = RetryPolicy(base_s=0.5, factor=2.0, max_s=3.0, jitter=0.0)
    assert [backoff_s(policy, failures, 0.3) for failures in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_is_the_part_left_to_chance() -> None:
    full, half = RetryPolicy(base_s=8.0, jitter=1.0), RetryPolicy(base_s=8.0, jitter=0.5)
    assert [backoff_s(full, 1, chance) for chance in (0.0, 0.5, 1.0)] == [0.0, 4.0, 8.0]
    assert [backoff_s(half, 1, chance) for chance in (0.0, 0.5, 1.0)] == [4.0, 6.0, 8.0]


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_a_wait_is_within_the_curve(failures: int, chance: float, jitter: float) -> None:
    policy = RetryPolicy(jitter=jitter)
    assert 0 <= backoff_s(policy, failures, chance) <= policy.max_s
