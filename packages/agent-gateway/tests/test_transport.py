import inspect

import httpx
import pytest

from agent_gateway.errors import ProviderRefusedError, ProviderUnavailableError
from agent_gateway.transport import HTTPX_ERRORS, HttpCall, HttpxTransport, translate


def exceptions_of_httpx() -> list[type[Exception]]:
    return [
        kind
        for _, kind in inspect.getmembers(httpx, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]


def test_the_table_has_every_exception_of_httpx_and_no_other() -> None:
    assert {kind.__name__ for kind in exceptions_of_httpx()} == set(HTTPX_ERRORS)


@pytest.mark.parametrize("kind", exceptions_of_httpx(), ids=lambda kind: kind.__name__)
def test_each_class_becomes_one_of_ours_or_stays_a_bug(kind: type[Exception]) -> None:
    fault, words = HTTPX_ERRORS[kind.__name__]
    if fault == "bug":
        assert not issubclass(kind, httpx.HTTPError | httpx.InvalidURL)
        return
    error = kind.__new__(kind)
    told = translate(error, "openai:m")
    assert words in str(told)
    assert isinstance(told, ProviderUnavailableError if fault == "theirs" else ProviderRefusedError)


def test_a_class_that_is_derived_from_a_known_one() -> None:
    class NewError(httpx.ReadError):
        pass

    assert "while it answered" in str(translate(NewError("secret"), "openai:m"))
    assert "secret" not in str(translate(NewError("secret"), "openai:m"))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/v1", ProviderUnavailableError),
        ("no-scheme/v1", ProviderRefusedError),
        ("ftp://host/v1", ProviderRefusedError),
        ("http://[::1/v1", ProviderRefusedError),
        ("http://host:port/v1", ProviderRefusedError),
    ],
)
async def test_addresses_that_lead_nowhere(url: str, kind: type[Exception]) -> None:
    transport = HttpxTransport(connect_timeout_s=2.0)
    with pytest.raises(kind):
        async with transport.send(HttpCall(url=url, where="openai:m", headers={})):
            pass
    await transport.aclose()
