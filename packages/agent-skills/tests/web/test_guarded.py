"""Ways to lead a request inside, or to choke it: every one is refused or contained, and says why.

"Public" is 127.0.0.9 here, opened by name; a server at 127.0.0.1 stands for what must not be reached.
"""

import gzip
import zlib

import anyio
import pytest

from agent_skills.http import HttpRequest
from agent_skills.web.addresses import plain_host, why_not_public
from agent_skills.web.guarded import GuardedWeb, WebFailedError, WebLimits, WebRefusedError

ADDRESSES = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
SPELLINGS = [
    "http://127.1/",
    "http://0x7f.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[fe80::1%25lo]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://metadata.google.internal/",
    "http://good.example@127.0.0.1/",
    "http://good.example:80@127.0.0.1/",
    "http://127.0.0.1#@good.example/",
    "http://good.example\\@127.0.0.1/",
    "http://127.0.0.1 good.example/",
    "http://good.example:22/",
    "http://good.example:99999/",
    "http:///etc/passwd",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://good.example/",
    "//127.0.0.1/",
    "http://good.exa\tmple/",
    "http://" + "a" * 5_000,
    "http://-a.example/",
]


def ask(url, **options):
    return HttpRequest(method="GET", url=url, **options)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_addresses_that_are_not_public(address, resolver):
    assert why_not_public(address)
    host = f"[{address}]" if ":" in address else address
    web = GuardedWeb(resolve=resolver(good_example=[[address]]))
    with pytest.raises(WebRefusedError, match="is not fetched"):
        await web.send(ask(f"http://{host}/"))
    with pytest.raises(WebRefusedError, match="not public"):
        await web.send(ask("http://good.example/"))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_that_are_public(address):
    assert why_not_public(address) == ""


@pytest.mark.parametrize("url", SPELLINGS, ids=lambda url: url[:40])
async def test_spellings(url, resolver):
    web = GuardedWeb(resolve=resolver(good_example=[["127.0.0.1"]]))
    with pytest.raises(WebRefusedError, match="is not fetched"):
        await web.send(ask(url))


def test_hosts_as_they_are_asked_for():
    assert plain_host("EXAMPLE.org.") == "example.org"
    assert plain_host("bücher.example") == "xn--bcher-kva.example"
    assert plain_host("[2606:4700::1111]") == "2606:4700::1111"


class Inside:
    """A guarded web whose public part is 127.0.0.9, with a server there."""

    def __init__(self, port, resolve, **limits):
        settings = {"networks": ("127.0.0.9/32",), "ports": (port, 80), "timeout_s": 30.0, **limits}
        self.web = GuardedWeb(WebLimits(**settings), resolve=resolve)
        self.port = port

    async def get(self, path="/", host="good.example", **options):
        try:
            return await self.web.send(ask(f"http://{host}:{self.port}{path}", **options))
        finally:
            await self.web.aclose()


async def test_a_page_is_fetched_from_the_address_that_was_checked(server, answer, resolver):
    resolve = resolver(good_example=[["127.0.0.9"]])
    async with server(lambda path, _head: answer(path.encode())) as (port, requests):
        reply = await Inside(port, resolve).get("/a?b=c")
    assert (reply.status, reply.body, reply.content_type) == (200, b"/a?b=c", "text/plain")
    assert resolve.asked == ["good.example"]
    head = requests[0].lower()
    assert f"host: good.example:{port}" in head
    assert "cookie" not in head


async def test_proxies_of_the_environment_are_not_used(server, answer, resolver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server(lambda _path, _head: answer(b"direct")) as (port, _):
        assert (await Inside(port, resolver(good_example=[["127.0.0.9"]])).get()).body == b"direct"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{inner}/",
        "//127.0.0.1:{inner}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.1:{inner}/",
        "http://[::ffff:127.0.0.1]:{inner}/",
        "http://inner.example:{inner}/",
        "http://user@good.example/",
        "file:///etc/passwd",
        "gopher://good.example/",
        "http://good.example:22/",
    ],
)
@pytest.mark.parametrize("hops", [1, 3])
async def test_redirects_that_lead_inside(server, answer, resolver, location, hops):
    resolve = resolver(good_example=[["127.0.0.9"]], inner_example=[["127.0.0.1"]])
    async with server(lambda _path, _head: answer(b"secret"), host="127.0.0.1") as (inner, inside):

        def redirect(path, _head):
            left = int(path[1:] or hops) - 1
            return answer(status="302 Found", location=f"/{left}" if left else location.format(inner=inner))

        async with server(redirect) as (port, _):
            with pytest.raises(WebRefusedError):
                await Inside(port, resolve, ports=(port, inner, 80)).get()
        assert inside == []


async def test_redirects_without_an_end(server, answer, resolver):
    async with server(lambda _path, _head: answer(status="301 Moved", location="/")) as (port, requests):
        with pytest.raises(WebFailedError, match="more than 5 times"):
            await Inside(port, resolver(good_example=[["127.0.0.9"]])).get()
    assert len(requests) == 6


async def test_credentials_stay_at_their_origin(server, answer, resolver):
    resolve = resolver(good_example=[["127.0.0.9"]], other_example=[["127.0.0.9"]])

    def redirect(path, head):
        port = head.split("example:")[1].split("\r")[0]
        return (
            answer(b"end")
            if path == "/end"
            else answer(status="307 Temporary", location=f"http://other.example:{port}/end")
        )

    async with server(redirect) as (port, requests):
        inside = Inside(port, resolve)
        headers = {"Authorization": "Bearer x", "X-Api-Key": "y", "Accept": "text/plain"}
        request = HttpRequest(
            method="POST", url=f"http://good.example:{port}/", headers=headers, body=b"data"
        )
        assert (await inside.web.send(request)).body == b"end"
        await inside.web.aclose()
    assert "Bearer x" in requests[0]
    assert "bearer" not in requests[1].lower()
    assert "x-api-key" not in requests[1].lower()
    assert requests[1].startswith("GET")
    assert "accept: text/plain" in requests[1].lower()


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([["127.0.0.9", "127.0.0.1"]], WebRefusedError),
        ([["127.0.0.1", "127.0.0.9"]], WebRefusedError),
        ([["127.0.0.9", "::1"]], WebRefusedError),
        ([["::ffff:127.0.0.1"]], WebRefusedError),
        ([["fe80::1%lo"]], WebRefusedError),
        ([[]], WebFailedError),
    ],
)
async def test_all_answers_of_a_name_must_be_public(server, answer, resolver, answers, error):
    async with server(lambda _path, _head: answer(b"x")) as (port, requests):
        with pytest.raises(error):
            await Inside(port, resolver(good_example=answers)).get()
    assert requests == []


async def test_a_name_that_changes_its_address_meanwhile(server, answer, resolver):
    """Rebinding: the first answer is checked and used; a redirect to the same name is checked anew."""
    resolve = resolver(good_example=[["127.0.0.9"], ["127.0.0.1"]])
    async with server(lambda _path, _head: answer(b"inside"), host="127.0.0.1") as (inner, inside):
        async with server(
            lambda path, _head: answer(b"fine") if path == "/" else answer(status="302 Found", location="/"),
            port=inner,
        ) as (port, _):
            reply = await Inside(port, resolve).get()
            assert (reply.body, resolve.asked) == (b"fine", ["good.example"])
            again = resolver(good_example=[["127.0.0.9"], ["127.0.0.1"]])
            with pytest.raises(WebRefusedError, match="not public"):
                await Inside(port, again).get("/moved")
        assert inside == []


def bomb(size_bytes):
    """Zeros, a thousandth of their size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    piece = bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(size_bytes // 1_000_000)) + packer.flush()


BOMB = bomb(20_000_000)


async def endless(_path="", _head=""):
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    while True:
        yield b"x" * 65_536


async def drip(_path="", _head=""):
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    while True:
        yield b"x"
        await anyio.sleep(0.05)


async def slow_head(_path="", _head=""):
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"x-more: x\r\n"
        await anyio.sleep(0.05)


async def broken_off(_path="", _head=""):
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda reply: reply(BOMB, content_encoding="gzip"), "more than 1,000,000 bytes"),
        (lambda reply: reply(gzip.compress(BOMB), content_encoding="gzip"), None),
        (lambda reply: reply(b"\x1f\x8b\x08nonsense", content_encoding="gzip"), "compressed wrongly"),
        (lambda reply: reply(b"x", content_encoding="br"), "not asked for"),
        (lambda reply: reply(b"x", content_encoding="gzip, gzip"), "not asked for"),
        (lambda reply: reply(b"x" * 1_000_001), "more than 1,000,000 bytes"),
        (lambda _reply: endless(), "more than 1,000,000 bytes"),
        (lambda _reply: drip(), "took longer than 1 s"),
        (lambda _reply: slow_head(), "took longer than 1 s"),
        (lambda _reply: broken_off(), "broke off"),
        (lambda _reply: b"HTTP/1.1 200 OK\r\nx-large: " + b"x" * 200_000 + b"\r\n\r\n", "broke off"),
        (lambda _reply: b"SSH-2.0-OpenSSH\r\n", "broke off"),
        (lambda reply: reply(b"x", content_length="-5"), "broke off"),
        (lambda reply: reply(b"", status="200 OK", content_length=str(10**12)), "broke off"),
    ],
    ids=[
        "gzip bomb",
        "bomb in a bomb",
        "no gzip",
        "brotli",
        "twice packed",
        "large",
        "endless",
        "drip",
        "slow head",
        "broken off",
        "large head",
        "no HTTP",
        "bad length",
        "lying length",
    ],
)
async def test_replies_that_choke(server, answer, resolver, make, words):
    limits = {"max_bytes": 1_000_000, "timeout_s": 1.0 if words and "longer" in words else 30.0}
    async with server(lambda _path, _head: make(answer)) as (port, _):
        inside = Inside(port, resolver(good_example=[["127.0.0.9"]]), **limits)
        if words is None:  # one layer is unpacked, and no more
            assert len((await inside.get()).body) < 1_000_000
            return
        with pytest.raises(WebFailedError, match=words):
            await inside.get()


async def test_hosts_can_be_named(server, answer, resolver):
    resolve = resolver(
        good_example=[["127.0.0.9"]], a_good_example=[["127.0.0.9"]], evilgood_example=[["127.0.0.9"]]
    )
    async with server(lambda _path, _head: answer(b"x")) as (port, _):
        inside = Inside(port, resolve, hosts=("*.good.example",))
        await inside.get(host="a.good.example")
        for host in ("good.example", "evilgood.example", "other.example"):
            with pytest.raises(WebRefusedError, match="only these hosts"):
                await inside.get(host=host)


async def test_what_is_not_there(server, answer, resolver):
    inside = Inside(1, resolver(good_example=[["127.0.0.9"]]))
    with pytest.raises(WebFailedError, match="no connection"):
        await inside.get()
    with pytest.raises(WebFailedError, match="no host"):
        await inside.get(host="nowhere.example")
