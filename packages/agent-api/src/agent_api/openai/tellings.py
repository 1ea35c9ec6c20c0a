"""Responses that are streamed and work in the background: each event is written down before it is told, so a client that comes
back, to this daemon or the next, is told the rest under the same numbers.

Who tells one is a task of the daemon beside the drive of its run: it listens before the run goes on, so it hears every delta,
and rests while the run does.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing

import anyio
import msgspec

from agent_api.broadcast import PING_S
from agent_api.errors import NotFoundError
from agent_api.openai.chat_reply import DONE, PING
from agent_api.openai.response_events import Event, ResponseWriter
from agent_api.openai.response_store import Part, ResponseStore, Stored
from agent_api.openai.run_talk import talk_behind
from agent_api.openai.talk import Waiting
from agent_api.supervisor import Supervisor
from agent_core.errors import AgentError, JournalUnavailableError, ModelUnavailableError
from agent_core.state import Phase

logger = logging.getLogger("agentd")

LINGER_S = 0.02
"""How long deltas are gathered before they are written down: each time costs a sync of the disk."""
AGAIN_S = 1.0
"""After how long storage that failed is tried again."""

_encode = msgspec.json.Encoder().encode


def frame(event: Event) -> bytes:
    """An event as it is streamed."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), _encode(event))


class Telling:
    """One response, with its events as frames in the order of their numbers."""

    def __init__(self, parts: Iterable[Part], *, is_over: bool, on_quiet: Callable[[], None]) -> None:
        """`on_quiet` is called when nothing was told to a listener for a while."""
        self._frames = [frame(event) for part in parts for event in part.events]
        self._is_whole = is_over
        self._is_over = is_over
        self._on_quiet = on_quiet
        self._more = anyio.Event()

    def add(self, frames: Iterable[bytes]) -> None:
        """Tell more."""
        self._frames += frames
        self._wake()

    def end(self, *, is_whole: bool) -> None:
        """Nobody tells it from now on; `is_whole`: its last event is there."""
        self._is_over, self._is_whole = True, is_whole
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = anyio.Event()

    async def ended(self) -> None:
        """Wait until nobody tells it any more."""
        while not self._is_over:
            await self._more.wait()

    async def behind(self, number: int) -> AsyncIterator[bytes]:
        """The frames behind event `number`, as they come. Without `[DONE]` at the end it can be asked for again."""
        place = number + 1
        while True:
            piece = b"".join(self._frames[place:])
            if piece:
                place = len(self._frames)
                yield piece
            elif self._is_over:
                break
            else:
                with anyio.move_on_after(PING_S) as wait:
                    await self._more.wait()
                if wait.cancelled_caught:
                    self._on_quiet()
                    yield PING
        if self._is_whole:
            yield DONE


class Tellings:
    """The responses of one tenant that are being told."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._store = ResponseStore(supervisor.agent.data_path)
        self._recorders: dict[str, _Recorder] = {}
        """Of every response that is not over, by its run."""
        supervisor.before_drive.append(self._start)

    async def open(self) -> None:
        """Take up those that a daemon left in the middle: each goes on when its run does.

        Raises:
            JournalUnavailableError: the storage failed.
        """
        for response_id in await self._store.untold():
            found = await self._store.told(response_id)
            if found is not None:
                self._expect(*found)

    async def begin(self, stored: Stored) -> None:
        """Keep a response that is streamed in the background; it is told when its run is driven, which comes next.

        Raises:
            JournalUnavailableError: the storage failed; nothing was kept.
        """
        part = Part(number=0, seq=0, events=ResponseWriter(stored.response).begin())
        await self._store.put(stored, part)
        self._expect(stored, [part])

    async def of(self, stored: Stored) -> Telling:
        """The telling of a response whose events are kept.

        Raises:
            NotFoundError: it was forgotten.
            JournalUnavailableError: the storage failed.
        """
        recorder = self._recorders.get(stored.run_id)
        if recorder is None:
            found = await self._store.told(stored.response.id)
            if found is None:
                raise NotFoundError(f"there is no response {stored.response.id!r}")
            if found[0].is_settled:
                return Telling(found[1], is_over=True, on_quiet=lambda: None)
            recorder = self._recorders.get(stored.run_id) or self._expect(*found)
        if not self._supervisor.is_driven_here(stored.run_id):  # another process may have gone on with it
            self._start(stored.run_id)
        return recorder.telling

    def _expect(self, stored: Stored, parts: list[Part]) -> "_Recorder":
        run_id = stored.run_id
        telling = Telling(parts, is_over=False, on_quiet=lambda: self._start(run_id))
        recorder = _Recorder(self._supervisor, stored, parts, telling)
        self._recorders[run_id] = recorder
        return recorder

    def _start(self, run_id: str) -> None:
        """Go on with telling the response of a run, if there is one and it rests."""
        recorder = self._recorders.get(run_id)
        if recorder is None or recorder.is_busy:
            return
        recorder.is_busy = True

        async def record() -> None:
            is_over = True
            try:
                is_over = await recorder.record()
            finally:
                recorder.is_busy = False
                if is_over or self._supervisor.broadcast.is_shut_down:
                    self._recorders.pop(run_id, None)
                    recorder.telling.end(is_whole=recorder.is_whole)

        self._supervisor.go_on(f"the telling of response {recorder.response_id}", record)


class _Recorder:
    """Writes the events of one response down, and tells them."""

    def __init__(self, supervisor: Supervisor, stored: Stored, parts: list[Part], telling: Telling) -> None:
        self.telling = telling
        self.is_busy = False
        self.is_whole = False
        """Whether its last event was told."""
        self._supervisor = supervisor
        self._store = ResponseStore(supervisor.agent.data_path)
        self._stored = stored
        self._writer = ResponseWriter(stored.response)
        self._writer.restore(event for part in parts for event in part.events)
        self._seq = parts[-1].seq if parts else 0
        self._pending: list[Event] = []
        self._written_at = 0.0

    @property
    def response_id(self) -> str:
        """The response that it tells."""
        return self._stored.response.id

    async def record(self) -> bool:
        """Tell the response until it is over, or its run rests; returns whether it is over."""
        while True:
            try:
                return await self._listen()
            except ModelUnavailableError:  # the run was interrupted, and may be taken up again
                return not await self._write()
            except JournalUnavailableError as error:
                logger.warning("response %s waits to be told: %s", self.response_id, error)
                await anyio.sleep(AGAIN_S)
            except AgentError as error:
                view = await self._supervisor.view(self._stored.run_id)
                is_cancelled = view.phase is Phase.CANCELLED
                self._pending += self._writer.cancel() if is_cancelled else self._writer.fail(error)
                await self._write()
                return True

    async def _listen(self) -> bool:
        before = self._writer.told(self._seq)
        async with aclosing(talk_behind(self._supervisor, self._stored.run_id, before)) as talk:
            async for said, seq in talk:
                is_delta = seq == self._seq and not isinstance(said, Waiting)
                if not isinstance(said, Waiting):
                    self._pending += self._writer.say(said)
                self._seq = max(seq, self._seq)
                if is_delta and time.monotonic() - self._written_at < LINGER_S:
                    continue
                if not await self._write():
                    return True
        return True

    async def _write(self) -> bool:
        """Write down what is pending, then tell it; False: it was forgotten meanwhile.

        Storage that fails is tried again as long as the daemon is there: what is lost between is made good from the journal.
        """
        while self._pending:
            response = self._writer.response
            is_settled = response.status != "in_progress"
            part = Part(number=self._writer.count - len(self._pending), seq=self._seq, events=self._pending)
            stored = msgspec.structs.replace(self._stored, response=response, is_settled=is_settled)
            try:
                is_there = await self._store.tell(stored, part)
            except JournalUnavailableError as error:
                logger.warning("response %s waits to be told: %s", self.response_id, error)
                await anyio.sleep(AGAIN_S)
                continue
            if not is_there:
                return False
            self.telling.add(map(frame, self._pending))
            self.is_whole = is_settled
            self._pending, self._written_at = [], time.monotonic()
        return True
