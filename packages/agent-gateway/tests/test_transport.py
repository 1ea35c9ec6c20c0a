import asyncio
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


@pytest.mark.parametrize(("silent", "works"), [(1, True), (2, False)])
async def test_a_server_that_hangs_up_without_a_word_is_asked_once_more(silent: int, works: bool) -> None:
    """As one does that closes an idle connection in the moment in which it is used again."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if asked > silent:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    transport = HttpxTransport()
    try:
        call = HttpCall(method="GET", url=url, where="here", headers={})
        if works:
            async with transport.send(call) as reply:
                assert await reply.read() == b"ok"
        else:
            with pytest.raises(ProviderUnavailableError, match="connection broke"):
                async with transport.send(call):
                    pass
    finally:
        await transport.aclose()
        listener.close()
    assert asked == 2
