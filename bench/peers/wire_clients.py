"""What a client of a language model costs its caller: ours, the vendors' own and the bare HTTP clients, the same work.

    python -P wire_clients.py CLIENT BASE_URL call|agent|chunks|held|import

prints one JSON object. Run by `bench/gateway.py`, each client in an environment of its own; the upstream that answers
is another process, so its work is not counted. CPU is that of the process, the best of several rounds; of a stream that
comes chunk by chunk, the middle one.
"""

import asyncio
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

CALLS, ROUNDS, STREAMS, CHUNKS, HELD = 100, 6, 3, 1_000, 1_000
LONGEST_S = 90
KEY = "sk-bench"
QUESTION = [{"role": "user", "content": "What is the weather like in Lisbon today?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "The name of the city."},
        "days": {"type": "integer", "minimum": 1, "maximum": 10},
        "units": {"type": "string", "enum": ["metric", "imperial"]},
    },
    "required": ["city"],
}
TOOLS = [(f"tool_{n}", f"Looks up fact number {n} about a city.", SCHEMA) for n in range(5)]


def conversation():
    """Twenty messages: a question, then a call, its result, and an answer by turns."""
    yield "user", "What is the weather like in Lisbon today?"
    for n in range(6):
        yield "call", f"call_{n}"
        yield "result", f"call_{n}"
        yield "assistant", f"It is sunny, {20 + n} degrees."
    yield "user", "And tomorrow?"


TURNS = list(conversation())
assert len(TURNS) == 20
RESULT = "Sunny, 24 degrees, wind from the north-west at 12 km/h, no rain. " * 4


def chat_messages():
    """The conversation as Chat Completions has it."""
    for kind, text in TURNS:
        if kind == "call":
            function = {"name": "tool_1", "arguments": '{"city": "Lisbon", "days": 1}'}
            yield {
                "role": "assistant",
                "tool_calls": [{"id": text, "type": "function", "function": function}],
            }
        elif kind == "result":
            yield {"role": "tool", "tool_call_id": text, "content": RESULT}
        else:
            yield {"role": kind, "content": text}


CHAT = list(chat_messages())
CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
    for name, about, schema in TOOLS
]


class Ours:
    """agent-gateway over httpx."""

    def __init__(self, base: str) -> None:
        from agent_core.chat import ModelRequest
        from agent_core.messages import Message, Text
        from agent_core.tools import ToolCall, ToolResult, ToolSpec
        from agent_gateway import connect

        def message(kind: str, text: str) -> Message:
            if kind == "call":
                call = ToolCall(tool_call_id=text, name="tool_1", arguments={"city": "Lisbon", "days": 1})
                return Message(role="assistant", parts=(call,))
            if kind == "result":
                return Message(role="tool", parts=(ToolResult(tool_call_id=text, content=RESULT),))
            return Message(role=kind, parts=(Text(text=text),))

        tools = [ToolSpec(name=name, description=about, parameters=schema) for name, about, schema in TOOLS]
        self.question = ModelRequest(messages=[message("user", QUESTION[0]["content"])])
        self.long = ModelRequest(messages=[message(*turn) for turn in TURNS], tools=tools)

        def model(name: str, *, streaming: bool):
            return connect(
                f"openai:{name}",
                base_url=base,
                api_key=KEY,
                server="openai",
                transport=self.transport(),
                streaming=streaming,
            )

        self.whole = model("m", streaming=False)
        self.streamed = {name: model(name, streaming=True) for name in ("each", "whole", "held")}

    def transport(self):
        from agent_gateway.transport import HttpxTransport

        return HttpxTransport(max_connections=2 * HELD)

    async def call(self) -> None:
        items = [item async for item in self.whole.stream(self.question)]
        assert items[-1].message.text

    async def agent(self) -> None:
        items = [item async for item in self.whole.stream(self.long)]
        assert items[-1].message.text

    async def chunks(self, name: str) -> int:
        return sum([1 async for _ in self.streamed[name].stream(self.question)]) - 1  # the completion

    async def hold(self):
        stream = self.streamed["held"].stream(self.question)
        await anext(stream)
        return stream

    async def aclose(self) -> None:
        for model in (self.whole, *self.streamed.values()):
            await model.aclose()


class OursHttptools(Ours):
    """agent-gateway over httptools."""

    def transport(self):
        from agent_gateway.httptools_transport import HttptoolsTransport

        return HttptoolsTransport(max_connections=2 * HELD)


class RawHttpx:
    """httpx and msgspec, and nothing else: the floor."""

    def __init__(self, base: str) -> None:
        import httpx
        import msgspec

        limits = httpx.Limits(max_connections=2 * HELD)
        self.client = httpx.AsyncClient(base_url=base, limits=limits)
        self.encode, self.decode = msgspec.json.encode, msgspec.json.decode

    async def ask(self, body) -> None:
        reply = await self.client.post("/chat/completions", content=self.encode(body))
        assert self.decode(reply.content)["choices"][0]["message"]["content"]

    async def call(self) -> None:
        await self.ask({"model": "m", "messages": QUESTION})

    async def agent(self) -> None:
        await self.ask({"model": "m", "messages": CHAT, "tools": CHAT_TOOLS})

    async def pieces(self, body):
        async with self.client.stream("POST", "/chat/completions", content=body) as reply:
            async for chunk in reply.aiter_bytes():
                yield chunk

    async def events(self, name: str):
        body = self.encode({"model": name, "messages": QUESTION, "stream": True})
        rest = b""
        async for chunk in self.pieces(body):
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                if event != b"data: [DONE]":
                    yield self.decode(event[6:])["choices"][0]["delta"].get("content")

    async def chunks(self, name: str) -> int:
        return sum([1 async for text in self.events(name) if text])

    async def hold(self):
        stream = self.events("held")
        await anext(stream)
        return stream

    async def aclose(self) -> None:
        await self.client.aclose()


class RawAiohttp(RawHttpx):
    """aiohttp and msgspec, and nothing else."""

    def __init__(self, base: str) -> None:
        import aiohttp
        import msgspec

        self.client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2 * HELD))
        self.url = f"{base}/chat/completions"
        self.encode, self.decode = msgspec.json.encode, msgspec.json.decode

    async def ask(self, body) -> None:
        async with self.client.post(self.url, data=self.encode(body)) as reply:
            assert self.decode(await reply.read())["choices"][0]["message"]["content"]

    async def pieces(self, body):
        async with self.client.post(self.url, data=body) as reply:
            async for chunk in reply.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        await self.client.close()


class OpenAI:
    """The openai SDK."""

    def __init__(self, base: str) -> None:
        import openai

        self.client = openai.AsyncOpenAI(base_url=base, api_key=KEY)
        self.create = self.client.chat.completions.create

    async def call(self) -> None:
        reply = await self.create(model="m", messages=QUESTION)
        assert reply.choices[0].message.content

    async def agent(self) -> None:
        reply = await self.create(model="m", messages=CHAT, tools=CHAT_TOOLS)
        assert reply.choices[0].message.content

    async def chunks(self, name: str) -> int:
        stream = await self.create(model=name, messages=QUESTION, stream=True)
        return sum([1 async for chunk in stream if chunk.choices[0].delta.content])

    async def hold(self):
        stream = await self.create(model="held", messages=QUESTION, stream=True)
        await anext(aiter(stream))
        return stream

    async def aclose(self) -> None:
        await self.client.close()


class LiteLLM(OpenAI):
    """LiteLLM, which passes on to the openai SDK."""

    def __init__(self, base: str) -> None:
        import litellm

        litellm.suppress_debug_info = True

        def create(model: str, **more):
            return litellm.acompletion(model=f"openai/{model}", api_base=base, api_key=KEY, **more)

        self.create = create

    async def aclose(self) -> None:
        pass


class Anthropic:
    """The anthropic SDK, in its own format."""

    def __init__(self, base: str) -> None:
        import anthropic

        self.client = anthropic.AsyncAnthropic(base_url=base.removesuffix("/v1"), api_key=KEY)
        self.create = self.client.messages.create
        self.tools = [
            {"name": name, "description": about, "input_schema": schema} for name, about, schema in TOOLS
        ]
        self.messages = [self.message(*turn) for turn in TURNS]

    def message(self, kind: str, text: str):
        arguments = {"city": "Lisbon", "days": 1}
        if kind == "call":
            block = {"type": "tool_use", "id": text, "name": "tool_1", "input": arguments}
            return {"role": "assistant", "content": [block]}
        if kind == "result":
            return {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": text, "content": RESULT}],
            }
        return {"role": kind, "content": text}

    async def call(self) -> None:
        assert (await self.create(model="m", max_tokens=99, messages=QUESTION)).content[0].text

    async def agent(self) -> None:
        reply = await self.create(model="m", max_tokens=99, messages=self.messages, tools=self.tools)
        assert reply.content[0].text

    async def chunks(self, name: str) -> int:
        stream = await self.create(model=name, max_tokens=99, messages=QUESTION, stream=True)
        return sum([1 async for event in stream if event.type == "content_block_delta"])

    async def hold(self):
        stream = await self.create(model="held", max_tokens=99, messages=QUESTION, stream=True)
        await anext(aiter(stream))
        return stream

    async def aclose(self) -> None:
        await self.client.close()


CLIENTS = {
    "ours": (Ours, "from agent_gateway import connect; connect('openai:m', api_key='k')"),
    "ours[httptools]": (OursHttptools, "from agent_gateway import connect; connect('openai:m', api_key='k')"),
    "raw httpx": (RawHttpx, "import httpx, msgspec; httpx.AsyncClient()"),
    "raw aiohttp": (RawAiohttp, "import aiohttp, msgspec"),
    "openai": (OpenAI, "import openai; openai.AsyncOpenAI(api_key='k')"),
    "litellm": (LiteLLM, "import litellm"),
    "anthropic": (Anthropic, "import anthropic; anthropic.AsyncAnthropic(api_key='k')"),
}


async def cpu_us(work, times: int, rounds: int = ROUNDS, best=min) -> float:
    """CPU microseconds of one `work`: the best of several rounds, after one to warm up."""
    values = []
    for _ in range(rounds + 1):
        gc.collect()
        began = time.process_time()
        for _ in range(times):
            await work()
        values.append((time.process_time() - began) / times * 1e6)
    return best(values[1:])


async def measure_chunks(client) -> dict[str, float]:
    """CPU microseconds a chunk, of a stream that comes in one write and of one that comes chunk by chunk."""
    call_us = await cpu_us(client.call, CALLS // 2)
    found = {}
    # One of the second takes a second or two; where the machine hiccups, its chunks run together and cost less: the least
    # value would be that of the most hiccups.
    for name, times, best in (("whole", STREAMS, min), ("each", 1, statistics.median)):

        async def stream(name: str = name) -> None:
            count = await client.chunks(name)
            assert count == CHUNKS, count

        found[f"chunk_{name}_us"] = (await cpu_us(stream, times, best=best) - call_us) / CHUNKS
    return found


def resident_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1_024
    raise SystemExit("/proc/self/status has no VmRSS")


async def measure_held(client) -> dict[str, float]:
    """Kilobytes a stream that is open and silent, of a thousand at once."""

    async def let_go(streams) -> None:
        for stream in streams:
            await (stream.close() if hasattr(stream, "close") else stream.aclose())

    await let_go([await client.hold() for _ in range(20)])
    before = resident_bytes()
    held = [await client.hold() for _ in range(HELD)]
    found = {"held_kb": (resident_bytes() - before) / HELD / 1e3}
    await let_go(held)
    return found


def measure_import(code: str) -> dict[str, float]:
    """CPU milliseconds of a fresh interpreter that imports a client and builds one, over one that does nothing."""

    def cpu_ms(what: str) -> float:
        values = []
        for _ in range(4):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-c", what], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            values.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(values[1:]) * 1e3

    return {"import_ms": cpu_ms(code) - cpu_ms("pass")}


async def measure(kind, base: str, what: str) -> dict[str, float]:
    client = kind(base)
    try:
        if what in {"call", "agent"}:
            return {f"{what}_us": await cpu_us(getattr(client, what), CALLS)}
        if what == "chunks":
            return await measure_chunks(client)
        async with asyncio.timeout(LONGEST_S):  # a client may not hold so many
            return await measure_held(client)
    finally:
        await client.aclose()


def main() -> None:
    name, base, what = sys.argv[1:]
    kind, code = CLIENTS[name]
    print(json.dumps(measure_import(code) if what == "import" else asyncio.run(measure(kind, base, what))))


if __name__ == "__main__":
    main()
