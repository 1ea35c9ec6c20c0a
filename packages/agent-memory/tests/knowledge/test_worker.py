"""A file that kills its parser costs one process."""

import pytest

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document
from agent_memory.knowledge.worker import ParsingWorker


@pytest.fixture
async def worker():
    one = ParsingWorker(timeout_s=20)
    yield one
    await one.aclose()


async def test_it_parses_and_stays(worker):
    assert (await worker.parse("a.py", b"def f():\n    pass\n")).kind == "code"
    process = worker._process
    assert isinstance(await worker.parse("b.md", b"# B"), Document)
    assert worker._process is process


async def test_what_a_parser_refuses_is_said(worker):
    with pytest.raises(ParseError, match=r"a\.json cannot be read: it is no JSON"):
        await worker.parse("a.json", b"[")
    assert (await worker.parse("b.txt", b"text")).text == "text"


async def test_a_dead_one_is_replaced(worker):
    await worker.parse("a.txt", b"x")
    worker._process.kill()
    with pytest.raises(ParseError, match="its parser died"):
        await worker.parse("b.txt", b"x")
    assert (await worker.parse("c.txt", b"x")).text == "x"


async def test_one_that_takes_too_long_is_ended():
    worker = ParsingWorker(timeout_s=0.01)
    with pytest.raises(ParseError, match="took more than"):
        await worker.parse("a.txt", b"x")
    assert worker._process is None
    await worker.aclose()


async def test_one_that_wants_too_much_memory_is_named():
    worker = ParsingWorker(memory_bytes=600 << 20)
    with pytest.raises(ParseError, match=r"memory|died"):
        await worker.parse("a.json", b'["' + b"x," * (60 << 20) + b'"]')
    await worker.aclose()
