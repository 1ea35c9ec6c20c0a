"""A stream of events has no gap and no repeat, wherever it begins and whatever hints are lost."""

import json

import anyio
import pytest

from agent_api.broadcast import Broadcast
from agent_api.streaming import event_stream
from agent_core.chat import TextDelta
from agent_core.testing import answer, call


def numbers(frames):
    return [int(frame.split(b"\n")[0][4:]) for frame in frames if frame.startswith(b"id: ")]


async def collect(agent, broadcast, run_id, after=0):
    stream = await event_stream(agent.journal, broadcast, run_id, after=after)
    text = b"".join([piece async for piece in stream])
    return [frame + b"\n\n" for frame in text.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("after", range(9))
async def test_a_finished_run_is_read_from_any_event(make_agent, after):
    agent = make_agent([call("add", {"a": 1, "b": 2}), answer("3")])
    state = await agent.runner.run("1+2?")
    frames = await collect(agent, Broadcast(), state.run_id, after)
    assert numbers(frames) == list(range(after + 1, state.seq + 1))


async def test_a_live_run_is_followed_with_its_deltas(make_agent):
    agent = make_agent([call("add", {"a": 1, "b": 2}), answer("the sum is 3")])
    broadcast = Broadcast()
    run_id = await agent.runner.start("1+2?")
    frames = []

    async def follow():
        frames.extend(await collect(agent, broadcast, run_id))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await agent.runner.drive(run_id, observers=(broadcast,))
            broadcast.release(run_id)
    assert numbers(frames) == list(range(1, 9))
    deltas = [frame for frame in frames if frame.startswith(b"event: text.delta")]
    texts = [json.loads(frame.split(b"data: ")[1])["text"] for frame in deltas]
    assert "".join(texts) == "the sum is 3"


async def test_a_lost_hint_is_made_up_for_by_the_journal(make_agent, monkeypatch):
    monkeypatch.setattr("agent_api.broadcast.TICK_S", 0.01)
    agent = make_agent([call("add", {"a": 1, "b": 2}), answer("3")])

    class Lossy(Broadcast):
        def on_event(self, stored, state):
            if stored.seq % 2:
                super().on_event(stored, state)

    broadcast = Lossy()
    run_id = await agent.runner.start("1+2?")
    frames = []

    async def follow():
        frames.extend(await collect(agent, broadcast, run_id))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await agent.runner.drive(run_id, observers=(broadcast,))
    assert numbers(frames) == list(range(1, 9))


async def test_when_the_daemon_goes_every_stream_ends_with_a_last_word(make_agent, monkeypatch):
    monkeypatch.setattr("agent_api.broadcast.TICK_S", 0.01)
    agent = make_agent([answer("never asked")])
    broadcast = Broadcast()
    run_id = await agent.runner.start("hello")
    frames = []

    async def follow():
        frames.extend(await collect(agent, broadcast, run_id))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            broadcast.on_delta(run_id, TextDelta("half"))
            broadcast.shut_down()
    assert numbers(frames) == [1]
    assert frames[-1].startswith(b"event: shutdown\nretry: 1000\n")
