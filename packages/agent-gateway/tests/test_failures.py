import json

import pytest

from agent_core.errors import ContextTooLongError, ModelError
from agent_gateway.errors import (
    CredentialsError,
    ProviderRefusedError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitedError,
    UnknownRemoteModelError,
)
from agent_gateway.failures import Target, failure, retry_after_s

TARGET = Target(where="openai:m at http://h/v1", model="m", key_setting="AGENT_KEY", context_tokens=100)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, ProviderRefusedError, "the words"),
        (401, CredentialsError, "AGENT_KEY"),
        (402, QuotaExhaustedError, "the words"),
        (403, CredentialsError, "AGENT_KEY"),
        (404, UnknownRemoteModelError, "base URL"),
        (408, ProviderUnavailableError, "the words"),
        (413, ProviderRefusedError, "the words"),
        (422, ProviderRefusedError, "the words"),
        (429, RateLimitedError, "wait 7 s"),
        (500, ProviderUnavailableError, "the words"),
        (503, ProviderUnavailableError, "the words"),
        (529, ProviderUnavailableError, "the words"),
        (307, ProviderRefusedError, "http://elsewhere"),
    ],
)
def test_each_status(status: int, kind: type[ModelError], words: str) -> None:
    headers = {"retry-after": "7", "location": "http://elsewhere"}
    body = b'{"error": {"message": "the words", "code": null}}'
    error = failure(TARGET, body, status=status, headers=headers)
    assert type(error) is kind
    assert words in str(error)
    assert TARGET.where in str(error)
    assert error.retryable == (kind in {ProviderUnavailableError, RateLimitedError})


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "the words"}}',
        '{"error": "the words"}',
        '{"message": "the words"}',
        '{"detail": "the words"}',
        '[{"error": {"message": "the words"}}]',
        "the words",
        '"the words"',
    ],
)
def test_each_shape_of_a_body(body: str) -> None:
    assert "the words" in str(failure(TARGET, body, status=400))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"error": null}', b"x" * 9_999])
def test_a_body_that_says_nothing(body: bytes) -> None:
    assert len(str(failure(TARGET, body, status=500))) < 900


@pytest.mark.parametrize(
    ("error", "tokens", "limit"),
    [
        (
            {
                "code": 400,
                "type": "exceed_context_size_error",
                "message": "request (5031 tokens) exceeds",
                "n_prompt_tokens": 5031,
                "n_ctx": 4096,
            },
            5031,
            4096,
        ),
        (
            {
                "code": "context_length_exceeded",
                "message": "This model's maximum context length is 8192 tokens. However, your messages "
                "resulted in 9001 tokens.",
            },
            9001,
            8192,
        ),
        (
            {
                "type": "BadRequestError",
                "message": "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens "
                "(2900 in the messages, 100 in the completion).",
            },
            3000,
            2048,
        ),
        ({"code": "context_length_exceeded", "message": "Your input exceeds the context window."}, 101, 100),
        (
            {
                "type": "invalid_request_error",
                "message": "prompt is too long: 210,000 tokens > 200,000 maximum",
            },
            210_000,
            200_000,
        ),
        (
            {
                "code": 400,
                "status": "INVALID_ARGUMENT",
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            },
            1_200_000,
            1_048_576,
        ),
    ],
)
def test_prompts_that_are_too_long(error: dict[str, object], tokens: int, limit: int) -> None:
    told = failure(TARGET, json.dumps({"error": error}), status=400)
    assert isinstance(told, ContextTooLongError)
    assert (told.tokens, told.limit) == (tokens, limit)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "insufficient_quota", "type": "insufficient_quota"}, QuotaExhaustedError),
        ({"type": "rate_limit_error"}, RateLimitedError),
        ({"type": "overloaded_error"}, ProviderUnavailableError),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, RateLimitedError),
        ({"status": "UNAVAILABLE"}, ProviderUnavailableError),
        ({"type": "billing_error"}, QuotaExhaustedError),
        ({"type": "authentication_error"}, CredentialsError),
        ({"code": "server_error"}, ProviderUnavailableError),
    ],
)
def test_an_error_inside_a_stream_goes_by_its_type(error: dict[str, object], kind: type[ModelError]) -> None:
    body = json.dumps({"type": "error", "error": {**error, "message": "the words"}})
    assert type(failure(TARGET, body)) is kind


def test_a_redirect_tells_where_to_and_nothing_secret() -> None:
    error = failure(TARGET, b"", status=302, headers={"location": "https://h/login?token=secret"})
    assert "https://h/login" in str(error)
    assert "secret" not in str(error)


def test_a_long_wait_is_not_taken_for_a_long_prompt() -> None:
    told = failure(TARGET, b'{"error": {"message": "maximum of 90000 tokens per minute"}}', status=429)
    assert isinstance(told, ProviderUnavailableError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:10 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, now=60.0) == seconds


def test_the_wait_is_the_header_s_and_else_the_body_s() -> None:
    body = '{"error": {"message": "Please try again in 1.5s."}}'
    for headers, seconds in (({}, 1.5), ({"retry-after": "4"}, 4.0), ({"retry-after": "soon"}, 1.5)):
        error = failure(TARGET, body, status=429, headers=headers)
        assert isinstance(error, ProviderUnavailableError)
        assert error.retry_after_s == seconds
