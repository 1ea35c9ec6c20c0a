"""The process in which hostile files are read: limited in memory and time, replaced when it dies.

A file that makes a parser hang, crash or eat memory costs one process, is named with the reason, and nothing else.
`python -m agent_memory.knowledge.worker` reads requests on standard input and answers on standard output, each a length
(four bytes, big-endian) and msgpack.
"""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import sys
from typing import BinaryIO, TypeAlias

import msgspec

from agent_memory.errors import ParseError
from agent_memory.knowledge.documents import Document
from agent_memory.knowledge.parsing import Reader, docling_reader, reading

MEMORY_BYTES = 3 << 30
"""Address space of a worker; libraries map a good part of it."""
_LENGTH = struct.Struct(">I")
_STDERR = 2


class _Request(msgspec.Struct, array_like=True):
    source: str
    content: bytes
    reader: Reader


class _Failure(msgspec.Struct, tag=True):
    reason: str


class _Answer(msgspec.Struct, tag=True):
    document: Document


_Reply: TypeAlias = _Answer | _Failure
_replies: msgspec.msgpack.Decoder[_Reply] = msgspec.msgpack.Decoder(_Reply)


class ParsingWorker:
    """Parses in a process of its own, started when it is first needed. Belongs to one loop; one file at a time."""

    def __init__(
        self, *, timeout_s: float = 60.0, memory_bytes: int = MEMORY_BYTES, reader: Reader = "built-in"
    ) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._reader: Reader = reader
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def parse(self, source: str, content: bytes) -> Document:
        """The document in a file.

        Raises:
            ParseError: the parser refused it, crashed, or took too much time or memory.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await self._ask(msgspec.msgpack.encode(_Request(source, content, self._reader)))
            except TimeoutError:
                await self._end()
                raise ParseError(source, f"it took more than {self._timeout_s:g} s to read") from None
            except (asyncio.IncompleteReadError, OSError):
                code = await self._end()
                raise ParseError(source, f"its parser died ({_death(code)})") from None
            except BaseException:
                await self._end()
                raise
        match reply:
            case _Answer(document=document):
                return document
            case _Failure(reason=reason):
                raise ParseError(source, reason)

    async def _ask(self, request: bytes) -> _Reply:
        process = self._process or await self._start()
        assert process.stdin is not None  # noqa: S101  # it was asked for
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(_LENGTH.pack(len(request)) + request)
        await process.stdin.drain()
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        return _replies.decode(await process.stdout.readexactly(length))

    async def _start(self) -> asyncio.subprocess.Process:
        # A dot in the path would let a file of the current folder be imported as one of ours.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "agent_memory.knowledge.worker", str(self._memory_bytes)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return self._process

    async def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return await process.wait()

    async def aclose(self) -> None:
        """End the process."""
        await self._end()


def worker_of(reader: Reader) -> ParsingWorker:
    """A worker with the limits that a reader needs: docling's models take more of everything."""
    if reader == "built-in":
        return ParsingWorker()
    return ParsingWorker(
        timeout_s=docling_reader.TIMEOUT_S, memory_bytes=docling_reader.MEMORY_BYTES, reader=reader
    )


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"


def main() -> None:
    """Answer requests until standard input ends."""
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not be taken for an answer.
    os.dup2(_STDERR, 1)
    while request := _read(sys.stdin.buffer):
        reply = msgspec.msgpack.encode(_parse(request))
        answers.write(_LENGTH.pack(len(reply)) + reply)
        answers.flush()


def _read(stream: BinaryIO) -> bytes:
    head = stream.read(_LENGTH.size)
    return stream.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else b""


def _parse(request: bytes) -> _Reply:
    asked = msgspec.msgpack.decode(request, type=_Request)
    try:
        return _Answer(document=reading(asked.source, asked.reader).parser(asked.content, asked.source))
    except ParseError as error:
        return _Failure(reason=error.reason)
    except MemoryError:
        return _Failure(reason="it takes more memory to read than a worker may have")
    except Exception as error:  # noqa: BLE001  # parsers of foreign formats raise anything; the file is named, the run goes on
        return _Failure(reason=f"its parser failed: {type(error).__name__}: {str(error)[:200]}")


if __name__ == "__main__":
    main()
