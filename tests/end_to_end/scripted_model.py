"""An OpenAI-compatible server in a process of its own, whose answer is in the prompt: `calls=2 words=30 ms=20`.

That is: call the calculator twice (or the first tool, where it is not offered), then say 30 words with 20 ms before each. It
prints its port, answers for ever, and tells at `/seen` what became of every request: how many words it said, and when
(`time.monotonic()`) its client went away.
"""

import asyncio
import contextlib
import json
import re
import sys
import time

import willing_model

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
USAGE = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"

seen: list[dict[str, object]] = []


def text_of(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def script_of(request):
    """What the last prompt asks for, less the calls that are done; and the prompt."""
    messages = request["messages"]
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=0)
    prompt = text_of(messages[last])
    script = {"calls": 0, "words": 5, "ms": 0} | {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", prompt)}
    done = sum(message["role"] == "tool" for message in messages[last:])
    script["calls"] -= done
    offered = [tool["function"]["name"] for tool in request.get("tools") or ()]
    script["tool"] = "calculator" if "calculator" in offered or not offered else offered[0]
    if request.get("model") == "willing":
        script["call"] = None if done else willing_model.call_for(request, prompt)
        script["answer"] = willing_model.answer_for(request, prompt)
    return script, prompt


def event(choice, **fields):
    data = b"data: " + json.dumps({**HEAD, "choices": [choice], **fields}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def call_of(script):
    """The function that the script calls now; None: it speaks."""
    if script["calls"] > 0:
        return {"name": script["tool"], "arguments": json.dumps({"expression": f"{script['calls']}+1"})}
    return script.get("call")


async def speak(writer, script, record):
    writer.write(STREAM)
    function = call_of(script)
    if function:
        await asyncio.sleep(script["ms"] / 1000)
        call = {"index": 0, "id": f"call_{script['calls']}", "type": "function", "function": function}
        writer.write(event({"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}))
    else:
        words = [script["answer"]] if script.get("answer") else [f"w{n} " for n in range(script["words"])]
        for number, word in enumerate(words):
            await asyncio.sleep(script["ms"] / 1000)
            writer.write(event({"index": 0, "delta": {"content": word}, "finish_reason": None}))
            await writer.drain()
            record["words"] = number + 1
    reason = "tool_calls" if function else "stop"
    writer.write(event({"index": 0, "delta": {}, "finish_reason": reason}, usage=USAGE))
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


async def reply(reader, writer, request):
    """Speak until the end, or until the client goes away."""
    script, prompt = script_of(request)
    record = {"prompt": prompt, "words": 0, "ended": "", "at": 0.0}
    seen.append(record)
    speaking = asyncio.create_task(speak(writer, script, record))
    gone = asyncio.create_task(reader.read(1))
    await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
    finished = speaking.done() and speaking.exception() is None
    record |= {"ended": "done" if finished else "closed", "at": time.monotonic()}
    for task in (speaking, gone):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await task


def whole(body):
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + data


async def answer(reader, writer):
    """One request a connection: its end is the client's."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1]
        if path == b"/seen":
            writer.write(whole(seen))
        elif path == b"/v1/models":
            writer.write(whole({"object": "list", "data": [{"id": "scripted", "object": "model"}]}))
        else:
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reply(reader, writer, json.loads(await reader.readexactly(size)))
        await writer.drain()
    writer.close()


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2_000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
