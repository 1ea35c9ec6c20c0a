"""A provider on loopback that answers at once, whole or as a stream: `python -P upstream.py` prints one JSON object with its
pid and address, then serves until it is killed. What stands between a client and a model is measured against it.
"""

import asyncio
import json
import os
import socket
import sys

ANSWER = "It is sunny in Lisbon, 24 degrees, with a light wind from the sea."
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 16, "total_tokens": 36}


def http(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return http("application/json", json.dumps(body).encode())


def streamed() -> bytes:
    """The same in one event a word; what a model's pace would add is nobody's cost."""
    chunk = {**HEAD, "object": "chat.completion.chunk"}
    words = [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None} for word in ANSWER.split()]
    words.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [{**chunk, "choices": [word]} for word in words] + [{**chunk, "choices": [], "usage": USAGE}]
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return http("text/event-stream", f"{lines}data: [DONE]\n\n".encode())


REPLIES = {False: whole(), True: streamed()}


class Provider(asyncio.Protocol):
    """One keep-alive connection."""

    def connection_made(self, transport):
        self._transport = transport
        self._data = b""

    def data_received(self, data):
        self._data += data
        head, mark, rest = self._data.partition(b"\r\n\r\n")
        if not mark:
            return
        size = int((head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0").strip())
        if len(rest) < size:
            return
        body, self._data = rest[:size], rest[size:]
        self._transport.write(REPLIES[bool(json.loads(body or b"{}").get("stream"))])


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    sys.stdout.write(json.dumps({"pid": os.getpid(), "address": address, "key": ""}) + "\n")
    sys.stdout.flush()
    server = await asyncio.get_running_loop().create_server(Provider, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
