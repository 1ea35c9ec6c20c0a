from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent_gateway.sse import ServerSentEvent, SseSplitter


def split(*chunks: bytes) -> list[ServerSentEvent]:
    splitter = SseSplitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    return events + splitter.close()


def test_the_cases_of_the_standard() -> None:
    cases: dict[bytes, list[bytes]] = {
        b"data: a\n\n": [b"a"],
        b"data:a\n\n": [b"a"],
        b"data:  a\n\n": [b" a"],
        b"data: a\r\n\r\ndata: b\r\n\r\n": [b"a", b"b"],
        b"data: a\r\rdata: b\r\r": [b"a", b"b"],
        b"data: YHOO\ndata: +2\ndata: 10\n\n": [b"YHOO\n+2\n10"],
        b": a comment\n\n: another\ndata: a\n\n": [b"a"],
        b"data\n\ndata\ndata\n\n": [b"", b"\n"],
        b"event: x\n\ndata: a\n\n": [b"a"],
        b"id: 1\nretry: 3\ndata: a\nother: b\n\n": [b"a"],
        b"\xef\xbb\xbfdata: a\n\n": [b"a"],
        b"": [],
        b"\n\n\n": [],
        b"data: no empty line": [b"no empty line"],
    }
    for stream, expected in cases.items():
        assert [event.data for event in split(stream)] == expected, stream


def test_the_type_of_an_event() -> None:
    assert split(b"event: ping\ndata: {}\n\ndata: 2\n\n") == [
        ServerSentEvent(b"{}", b"ping"),
        ServerSentEvent(b"2", b""),
    ]


def test_an_event_comes_as_soon_as_it_is_whole() -> None:
    splitter = SseSplitter()
    assert splitter.feed(b"data: a\n") == []
    assert [event.data for event in splitter.feed(b"\n")] == [b"a"]
    assert [event.data for event in splitter.feed(b"data: b\r\n\r")] == [b"b"]
    assert splitter.feed(b"\n") == []


def test_what_is_held_is_counted() -> None:
    splitter = SseSplitter()
    splitter.feed(b"data: a\n\ndata: 12345")
    assert splitter.held_bytes == 11
    splitter.feed(b"678\ndata: 9")
    assert splitter.held_bytes == 22
    assert [event.data for event in splitter.feed(b"\n\n")] == [b"12345678\n9"]
    assert splitter.held_bytes == 0
    splitter.feed(b": alive\n" * 9)
    assert splitter.held_bytes == 0


_PIECES = st.sampled_from(
    ["data: ", "data:", "event: x", ": c", "\n", "\r\n", "\r", "ä€😀", "{}", " ", "\ufeff", "id: 1"]
)


@given(st.lists(_PIECES, max_size=30), st.lists(st.integers(0, 200), max_size=8))
def test_whole_is_byte_by_byte_is_any_split(pieces: list[str], cuts: list[int]) -> None:
    stream = "".join(pieces).encode()
    places = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    parts = [stream[a:b] for a, b in pairwise(places)]
    whole = split(stream)
    assert split(*(bytes([byte]) for byte in stream)) == whole
    assert split(*parts) == whole
