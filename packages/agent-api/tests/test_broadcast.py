"""What happens in a run is encoded once for all who watch; who is slow loses deltas, never events, and holds up nobody."""

import anyio
import pytest

from agent_api.broadcast import LINES, SSE, TICK_S, Broadcast, Happened
from agent_core import events as ev
from agent_core.chat import TextDelta
from agent_core.feed import MAX_PENDING_DELTAS
from agent_core.messages import user
from agent_core.ports import StoredEvent
from agent_core.state import RunState
from agent_core.transitions import evolve


@pytest.fixture
def started():
    event = ev.RunStarted(at=1.0, run_id="run_1", session_id="session_1", input=user("hello"), model="m")
    return StoredEvent(run_id="run_1", seq=1, event=event, writer="w"), evolve(
        RunState(run_id="run_1"), event
    )


async def test_everybody_gets_the_same_bytes(started):
    broadcast = Broadcast()
    with broadcast.reading("run_1", SSE) as one, broadcast.reading("run_1", SSE) as other:
        broadcast.on_event(*started)
        broadcast.on_delta("run_1", TextDelta("hi"))
        (event, delta), (same_event, same_delta) = await one.take(), await other.take()
        assert event.written is same_event.written
        assert delta is same_delta
        assert delta.startswith(b"event: text.delta\ndata: ")


async def test_each_shape_has_its_own_words(started):
    broadcast = Broadcast()
    with broadcast.reading("run_1", SSE) as frames, broadcast.reading("run_1", LINES) as lines:
        broadcast.on_event(*started)
        (frame,), (line,) = await frames.take(), await lines.take()
        assert frame.written.startswith(b"id: 1\nevent: run.started\ndata: {")
        assert line.written.startswith(b'{"seq":1,')


async def test_a_slow_reader_loses_deltas_and_no_event(started):
    broadcast = Broadcast()
    with broadcast.reading("run_1", SSE) as reader:
        for _ in range(MAX_PENDING_DELTAS + 10):
            broadcast.on_delta("run_1", TextDelta("x"))
        broadcast.on_event(*started)
        taken = await reader.take()
        assert len(taken) == MAX_PENDING_DELTAS + 1
        assert isinstance(taken[-1], Happened)
        broadcast.on_delta("run_1", TextDelta("y"))
        assert len(await reader.take()) == 1, "who has caught up loses nothing again"


async def test_a_reader_that_waits_is_woken_by_what_happens_or_by_a_tick(monkeypatch):
    broadcast = Broadcast()
    with broadcast.reading("run_1", SSE) as reader, anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.take)
            await anyio.wait_all_tasks_blocked()
            broadcast.on_delta("run_1", TextDelta("hi"))
        monkeypatch.setattr("agent_api.broadcast.TICK_S", TICK_S / 100)
        assert await reader.take() == []


async def test_who_leaves_is_forgotten(started):
    broadcast = Broadcast()
    with broadcast.reading("run_1", SSE), broadcast.watching("run_1"):
        assert broadcast.watchers == 2
    assert broadcast.watchers == 0
    assert not broadcast._watchers
    broadcast.on_event(*started)


def test_a_run_is_known_as_long_as_it_is_driven_here(started):
    broadcast, (_, state) = Broadcast(), started
    broadcast.on_event(*started)
    assert broadcast.driven("run_1") is None, "somebody else's"
    broadcast.begin(RunState(run_id="run_1"))
    broadcast.on_event(*started)
    assert broadcast.driven("run_1") is state
    broadcast.release("run_1")
    assert broadcast.driven("run_1") is None
