"""What the gateway costs its caller, beside the vendors' SDKs, LiteLLM and the bare HTTP clients: CPU of a call, of an
agent-sized call, of a streamed chunk, of an import; memory of an open stream. `--json`: one object a line.

Each client runs in a process and an environment of its own (`peers/wire_clients.py`) against one upstream on loopback,
whose work is not counted; all take turns, twice, and the best of each counts.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from figures import Figure, print_figures
from peers.environments import Environments, NotMeasuredError, Peer

FILE = "wire_clients"
PEERS = {
    "raw httpx": Peer(FILE, "httpx==0.28.1,msgspec==0.22.0"),
    "raw aiohttp": Peer(FILE, "aiohttp==3.14.5,msgspec==0.22.0"),
    "openai": Peer(FILE, "openai==3.54.0"),
    "anthropic": Peer(FILE, "anthropic==2.12.0"),
    "litellm": Peer(FILE, "litellm==1.106.2,mcp==2.3.0"),  # its tool calls import mcp
}
OURS = ("ours", "ours[httptools]")
MEASUREMENTS = ("call", "agent", "chunks", "held", "import")
TURNS, CHUNKS = 2, 1_000
SCRIPT = Path(__file__).parent / "peers" / f"{FILE}.py"

Values = Mapping[str, Mapping[str, float]]


def http(content_type: str, body: bytes) -> bytes:
    """A whole reply."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chat_replies() -> tuple[bytes, list[bytes]]:
    """A whole reply of Chat Completions, and the events of a streamed one."""
    head = {"id": "chatcmpl-1", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
    text = "It is sunny in Lisbon, 24 degrees, with a light wind from the sea."
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    head["object"] = "chat.completion.chunk"
    said = [{"index": 0, "delta": {"content": f" word{n}"}, "finish_reason": None} for n in range(CHUNKS)]
    said.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [f"data: {json.dumps({**head, 'choices': [one]})}\n\n".encode() for one in said]
    return http("application/json", json.dumps(whole).encode()), [*events, b"data: [DONE]\n\n"]


def message_replies() -> tuple[bytes, list[bytes]]:
    """The same of Anthropic Messages."""
    usage = {"input_tokens": 20, "output_tokens": 30}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    text = {"type": "text", "text": "It is sunny in Lisbon, 24 degrees, with a light wind from the sea."}
    whole = {**head, "content": [text], "stop_reason": "end_turn", "usage": usage}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for n in range(CHUNKS):
        delta = {"type": "text_delta", "text": f" word{n}"}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    events += [
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 30}},
        {"type": "message_stop"},
    ]
    lines = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
    return http("application/json", json.dumps(whole).encode()), lines


async def serve() -> None:
    """Print the port, then answer for ever. A stream comes event by event, in one write for the model `whole`, and
    for `held` it stops after the first event and stays open.
    """
    start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    replies = {b"/v1/chat/completions": chat_replies(), b"/v1/messages": message_replies()}
    chunked = {
        path: [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
        for path, (_, events) in replies.items()
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                body = json.loads(await reader.readexactly(int(size)))
                path = head.split(b" ")[1].partition(b"?")[0]
                events = chunked[path]
                if not body.get("stream"):
                    writer.write(replies[path][0])
                elif body["model"] == "whole":
                    writer.write(b"".join([start, *events, b"0\r\n\r\n"]))
                elif body["model"] == "held":
                    writer.write(start + b"".join(events[:3]))
                    await reader.read()
                    return
                else:
                    writer.write(start)
                    for event in events:
                        writer.write(event)
                        await asyncio.sleep(0.0005)
                    writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2_000)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(7_200)


class Rounds:
    """What was measured: by figure and client, the best value; why a client is missing."""

    def __init__(self, base: str, environments: Environments) -> None:
        self.values: dict[str, dict[str, float]] = defaultdict(dict)
        self.missing: dict[str, str] = {}
        self._base = base
        self._environments = environments

    def measure(self, name: str, what: str) -> None:
        """One process of one client."""
        if f"{name} {what}" in self.missing:
            return
        try:
            found = self._run(name, what)
        except (NotMeasuredError, subprocess.CalledProcessError) as error:
            if name in OURS:
                raise
            self.missing[f"{name} {what}"] = f"not measured: {error}"
            return
        for figure, value in found.items():
            self.values[figure][name] = min(value, self.values[figure].get(name, value))

    def _run(self, name: str, what: str) -> dict[str, float]:
        if name not in OURS:
            return self._environments.run_script(PEERS[name], name, self._base, what)
        command = [sys.executable, "-P", str(SCRIPT), name, self._base, what]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output.splitlines()[-1])

    def shown(self, figure: str, what: str) -> dict[str, object]:
        """The peers' values of a figure, the reason in the place of one that is missing."""
        found = self.values[figure]
        told = {name: self.missing.get(f"{name} {what}") for name in PEERS}
        return {name: round(found[name], 1) if name in found else told[name] for name in PEERS}


def figures(rounds: Rounds) -> list[Figure]:
    """The acceptance figures, and what they are made of."""

    def value(figure: str, name: str) -> float:
        return rounds.values[figure].get(name, float("nan"))

    def plain(name: str, figure: str, unit: str, what: str, target: str = "") -> list[Figure]:
        peers = rounds.shown(figure, what)
        return [
            Figure(f"gateway.{name}{suffix}", value(figure, ours), unit, target, peers)
            for ours, suffix in zip(OURS, ("", ".httptools"), strict=True)
        ]

    def ratio(name: str, figure: str, over: str, under: str, target: str) -> Figure:
        return Figure(f"gateway.{name}", value(figure, over) / value(figure, under), "ratio", target)

    ours, fast = OURS
    return [
        *plain("call_cpu", "call_us", "us", "call"),
        ratio("call_to_raw_httpx", "call_us", ours, "raw httpx", "<= 1.2"),
        ratio("openai_to_call", "call_us", "openai", ours, ">= 2"),
        ratio("openai_to_call.httptools", "call_us", "openai", fast, ">= 10"),
        *plain("agent_call_cpu", "agent_us", "us", "agent"),
        ratio("openai_to_agent_call", "agent_us", "openai", ours, ">= 5"),
        ratio("litellm_to_agent_call", "agent_us", "litellm", ours, ">= 10"),
        *plain("chunk_cpu.in_one_write", "chunk_whole_us", "us", "chunks"),
        *plain("chunk_cpu.one_write_each", "chunk_each_us", "us", "chunks"),
        ratio("openai_to_chunk", "chunk_whole_us", "openai", ours, ">= 8"),
        ratio("litellm_to_chunk", "chunk_whole_us", "litellm", ours, ">= 20"),
        ratio("chunk_to_raw_httpx", "chunk_whole_us", ours, "raw httpx", "<= 1.3"),
        ratio("chunk_to_raw_httpx.one_write_each", "chunk_each_us", ours, "raw httpx", "<= 1.3"),
        *plain("open_stream", "held_kb", "KB", "held", "<= 20"),
        *plain("import_cpu", "import_ms", "ms", "import"),
        ratio("openai_to_import", "import_ms", "openai", ours, ">= 5"),
    ]


def main() -> None:
    if "--serve" in sys.argv:
        asyncio.run(serve())
        return
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import asks the network for prices
    upstream = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    try:
        base = f"http://127.0.0.1:{int(upstream.stdout.readline())}/v1"
        with Environments() as environments:
            rounds = Rounds(base, environments)
            for what in MEASUREMENTS:
                for _ in range(TURNS):
                    for name in (*OURS, *PEERS):
                        rounds.measure(name, what)
    finally:
        upstream.terminate()
        upstream.wait()
    print_figures(figures(rounds))


if __name__ == "__main__":
    main()
