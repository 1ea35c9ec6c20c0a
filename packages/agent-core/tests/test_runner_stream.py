"""The live feed: every event in order, deltas as far as the reader keeps up, an end in every case."""

import anyio
import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.chat import TextDelta
from agent_core.errors import ModelUnavailableError
from agent_core.feed import MAX_PENDING_DELTAS, Feed
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState
from agent_core.testing import ScriptedModel, answer, call


async def test_a_stream_gives_every_event_in_order_and_the_deltas_between(runner_of):
    runner = runner_of([call("t"), answer("one two")], {"t": lambda: "ok"})
    run_id = await runner.start("go")
    async with runner.stream(run_id) as feed:
        items = [item async for item in feed]
    stored = [item for item in items if isinstance(item, StoredEvent)]
    assert stored == runner.adapters.journal.runs[run_id][1:]
    assert [item.text for item in items if isinstance(item, TextDelta)] == ["one", " two"]
    answered = next(index for index, item in enumerate(items) if getattr(item, "seq", 0) == 6)
    assert [getattr(item, "text", "") for item in items[answered - 2 : answered]] == ["one", " two"]


async def test_a_slow_reader_loses_deltas_and_never_events(runner_of):
    words = " ".join(["w"] * (MAX_PENDING_DELTAS + 500))
    runner = runner_of([call("t"), answer(words)], {"t": lambda: "ok"})
    run_id = await runner.start("go")
    seqs, deltas = [], 0
    async with runner.stream(run_id) as feed:
        async for item in feed:
            if isinstance(item, StoredEvent):
                seqs.append(item.seq)
                await anyio.sleep(0.002)
            else:
                deltas += 1
    assert seqs == list(range(2, len(runner.adapters.journal.runs[run_id]) + 1))
    assert 0 < deltas <= MAX_PENDING_DELTAS


async def test_leaving_the_block_stops_the_drive(runner_of):
    class Endless(ScriptedModel):
        stopped = False

        async def stream(self, request):
            try:
                while True:
                    yield TextDelta("more")
                    await anyio.lowlevel.checkpoint()
            finally:
                self.stopped = True

    model = Endless([])
    runner = runner_of(model)
    run_id = await runner.start("go")
    with anyio.fail_after(30):
        async with runner.stream(run_id) as feed:
            async for item in feed:
                if isinstance(item, TextDelta):
                    break
    assert model.stopped
    assert (await runner.load(run_id)).phase is Phase.REASONING
    runner.adapters = replace(runner.adapters, model=ScriptedModel([answer("done")]))
    assert (await runner.drive(run_id)).answer == "done"


async def test_a_run_that_comes_to_rest_ends_the_stream(runner_of):
    from agent_core.policy import Decision, Verdict

    runner = runner_of(
        [call("t")], {"t": lambda: "ok"}, policy=lambda *_: Decision(verdict=Verdict.ASK, reason="?")
    )
    run_id = await runner.start("go")
    with anyio.fail_after(30):
        async with runner.stream(run_id) as feed:
            types = [ev.event_type(item.event) async for item in feed]
    assert types[-1] == "approval.requested"


async def test_what_ends_the_drive_reaches_the_reader_behind_the_events(runner_of):
    runner = runner_of([ModelUnavailableError("overloaded")])
    run_id = await runner.start("go")
    items = []

    async def read():
        async with runner.stream(run_id) as feed:
            items.extend([item async for item in feed])

    with pytest.raises(ModelUnavailableError, match="overloaded"):
        await read()
    assert [item.seq for item in items] == [2]


async def test_what_the_reader_raises_is_raised_as_it_is(runner_of):
    runner = runner_of([answer("hi")])
    run_id = await runner.start("go")

    async def read():
        async with runner.stream(run_id) as feed:
            async for _ in feed:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()


async def test_a_feed_counts_deltas_not_events():
    feed = Feed()
    event = ev.ResultsAccepted(at=1.0)
    for index in range(MAX_PENDING_DELTAS + 10):
        feed.on_delta("r", TextDelta(str(index)))
        feed.on_event(StoredEvent(run_id="r", seq=index + 1, event=event), RunState(run_id="r"))
    feed.close()
    items = [item async for item in feed]
    assert sum(isinstance(item, TextDelta) for item in items) == MAX_PENDING_DELTAS
    assert [item.seq for item in items if isinstance(item, StoredEvent)] == list(
        range(1, MAX_PENDING_DELTAS + 11)
    )
