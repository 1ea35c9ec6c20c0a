"""What the gateway costs its caller in CPU: a streamed chunk, a call, an import. `--json`: one object a line.

The upstream is a process of its own, so its work is not counted; ours and raw httpx + msgspec take turns in one
process, and the best round of each counts.
"""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import httpx
import msgspec
from figures import Figure, print_figures

from agent_core.chat import ModelRequest
from agent_core.messages import user
from agent_gateway import OpenAIChatModel

CHUNKS, CALLS, ROUNDS, STREAMS = 1_000, 60, 5, 4
REQUEST = ModelRequest(messages=[user("What is the weather like in Lisbon today?")])
BODY = {"model": "m", "messages": [{"role": "user", "content": "What is the weather like in Lisbon today?"}]}
CHUNK_PEERS = {"anthropic": 67, "openai": 206, "litellm": 521, "raw httpx": "13 to 20"}
CALL_PEERS = {"raw httpx + msgspec": 900, "openai": 2_398, "litellm": 7_261}
IMPORT_PEERS = {"httpx + msgspec": 276, "openai": 1_516, "anthropic": 3_170, "litellm": 8_786}


def upstream_replies() -> tuple[bytes, list[bytes]]:
    """A whole reply, and the pieces of a streamed one, as HTTP/1.1."""
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
    said = {
        "role": "assistant",
        "content": "It is sunny in Lisbon, 24 degrees, with a light wind from the sea.",
    }
    choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
    whole = json.dumps({**head, "choices": choices, "usage": usage})
    texts = [{"index": 0, "delta": {"content": f" word{n}"}, "finish_reason": None} for n in range(CHUNKS)]
    texts.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [f"data: {json.dumps({**head, 'choices': [one]})}\n\n" for one in texts] + ["data: [DONE]\n\n"]
    pieces = [b"%x\r\n%s\r\n" % (len(event), event.encode()) for event in events]
    plain = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n\r\n{whole}"
    )
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return plain.encode(), [start, *pieces, b"0\r\n\r\n"]


async def serve() -> None:
    """Print the port, then answer for ever. A stream comes event by event, or in one write for the model `whole`."""
    plain, pieces = upstream_replies()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                if b'"stream":true' not in body:
                    writer.write(plain)
                elif b'"model":"whole"' in body:
                    writer.write(b"".join(pieces))
                else:
                    for piece in pieces:
                        writer.write(piece)
                        await asyncio.sleep(0.0005)
                await writer.drain()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3_600)


async def cpu_us(work: Callable[[], Awaitable[object]], times: int) -> float:
    """CPU microseconds of this process for one `work`."""
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) / times * 1e6


async def best_of(works: Sequence[Callable[[], Awaitable[object]]], times: int) -> list[float]:
    """The best round of each, taking turns."""
    rounds = [[await cpu_us(work, times) for work in works] for _ in range(ROUNDS + 1)]
    return [min(values) for values in zip(*rounds[1:], strict=True)]


async def over_http(port: int) -> list[Figure]:
    base = f"http://127.0.0.1:{port}/v1"
    calling = OpenAIChatModel("m", base_url=base, streaming=False)
    client = httpx.AsyncClient(base_url=base)

    async def ours(model: OpenAIChatModel) -> None:
        items = [item async for item in model.stream(REQUEST)]
        assert len(items) == (2 if model is calling else CHUNKS + 1)

    async def raw_call() -> None:
        reply = await client.post("/chat/completions", content=msgspec.json.encode(BODY))
        assert msgspec.json.decode(reply.content)["choices"]

    async def raw_stream(name: str) -> None:
        content, chunks = msgspec.json.encode({**BODY, "model": name, "stream": True}), 0
        async with client.stream("POST", "/chat/completions", content=content) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    chunks += bool(msgspec.json.decode(line[6:])["choices"])
        assert chunks == CHUNKS + 1

    call, raw = await best_of([lambda: ours(calling), raw_call], CALLS)
    figures = [
        Figure("gateway.call_cpu", call, "us", "<= 1.2 raw", CALL_PEERS | {"raw, this run": round(raw)}),
        Figure("gateway.call_cpu_to_raw_httpx", call / raw, "ratio", "<= 1.2"),
    ]
    for name, how in (("each", "one_write_each"), ("whole", "in_one_write")):
        model = OpenAIChatModel(name, base_url=base)
        streamed, raw_streamed = await best_of([partial(ours, model), partial(raw_stream, name)], STREAMS)
        await model.aclose()
        chunk, raw_chunk = (streamed - call) / CHUNKS, (raw_streamed - raw) / CHUNKS
        peers = CHUNK_PEERS | {"raw, this run": round(raw_chunk, 1)}
        figures.append(Figure(f"gateway.sse_chunk_cpu.{how}", chunk, "us", "<= 25", peers))
    await calling.aclose()
    await client.aclose()
    return figures


def import_cpu_ms(code: str) -> float:
    """CPU milliseconds of a fresh interpreter running `code`: the best of five."""
    values: list[float] = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        values.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
    return min(values)


def main() -> None:
    if "--serve" in sys.argv:
        asyncio.run(serve())
        return
    upstream = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    try:
        figures = asyncio.run(over_http(int(upstream.stdout.readline())))
    finally:
        upstream.terminate()
        upstream.wait()
    empty = import_cpu_ms("pass")
    ours = import_cpu_ms("import agent_gateway") - empty
    raw = import_cpu_ms("import httpx, msgspec") - empty
    figures.append(
        Figure("gateway.import_cpu", ours, "ms", "<= raw", IMPORT_PEERS | {"raw, this run": round(raw)})
    )
    print_figures(figures)


if __name__ == "__main__":
    main()
