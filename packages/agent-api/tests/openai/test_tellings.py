"""A response that is told from the middle on: what a model says again is told once, and what it says otherwise is told anew."""

import anyio
import pytest

from agent_api.openai import resource
from agent_api.openai.response_events import ResponseWriter
from agent_api.openai.response_store import Part, ResponseStore, Stored
from agent_api.openai.responses_request import ResponseRequest
from agent_api.openai.run_talk import Told, talk_behind
from agent_api.openai.tellings import Tellings
from agent_api.supervisor import Supervisor
from agent_core.errors import ModelUnavailableError
from agent_core.messages import Message, Reasoning, Text
from agent_core.testing import answer


async def events_behind(make_agent, reply, told):
    """What is told of a run whose last turn was told as far as `told`."""
    supervisor = Supervisor(make_agent([reply]), None)
    runner = supervisor.agent.runner
    run_id = await runner.start("hello", session_id="s")
    await runner.drive(run_id)
    return [said async for said, _ in talk_behind(supervisor, run_id, told)]


@pytest.mark.parametrize(
    ("kind", "before", "kinds", "text"),
    [
        ("", "", ["TextDelta", "Turn", "Ended"], "one two"),
        ("message", "one t", ["TextDelta", "Turn", "Ended"], "wo"),
        ("message", "one two", ["Turn", "Ended"], ""),
        ("message", "One", ["BrokenOff", "TextDelta", "Turn", "Ended"], "one two"),
        ("reasoning", "Hm", ["BrokenOff", "TextDelta", "Turn", "Ended"], "one two"),
    ],
)
async def test_what_was_told_is_not_told_again(make_agent, kind, before, kinds, text):
    said = await events_behind(make_agent, answer("one two"), Told(seq=0, kind=kind, text=before))
    assert [type(one).__name__ for one in said] == kinds
    assert "".join(one.text for one in said if type(one).__name__ == "TextDelta") == text


@pytest.fixture
def begun():
    return resource.begun(ResponseRequest(model="agent", input="x"), "resp_1")


@pytest.mark.parametrize("cut", range(14))
async def test_a_writer_that_is_restored_goes_on_as_if_nothing_had_happened(make_agent, begun, cut):
    reply = Message(role="assistant", parts=(Reasoning(text="Hm."), Text(text="yes")))
    said = await events_behind(make_agent, reply, Told())
    whole = ResponseWriter(begun)
    written = [*whole.begin(), *(event for one in said for event in whole.say(one))]
    again = ResponseWriter(begun)
    again.restore(written[:cut])
    assert again.count == min(cut, len(written))
    told = again.told(3)
    open_items = sum(
        {"response.output_item.added": 1, "response.output_item.done": -1}.get(event["type"], 0)
        for event in written[:cut]
    )
    assert bool(told.kind) == bool(open_items)


async def test_a_message_that_was_broken_off_is_closed_as_incomplete_and_nothing_to_go_on_from(
    make_agent, begun, wrong_event
):
    writer = ResponseWriter(begun)
    first = writer.begin()
    store = {"type": "message", "id": "item_1_0", "status": "in_progress", "role": "assistant", "content": []}
    writer.restore(
        [
            {"type": "response.output_item.added", "output_index": 0, "item": store},
            {"type": "response.output_text.delta", "delta": "Otherwi"},
        ]
    )
    said = await events_behind(make_agent, answer("one two"), writer.told(0))
    events = [event for one in said for event in writer.say(one)]
    assert [item["status"] for item in writer.response.output] == ["incomplete", "completed"]
    assert [item["content"][0]["text"] for item in writer.response.output] == ["Otherwi", "one two"]
    for event in (*first, *events):
        assert wrong_event(event) == []
    numbers = [event["sequence_number"] for event in (*first, *events)]
    assert numbers == [0, 1, *range(4, 4 + len(events))]


async def test_a_run_that_is_taken_up_again_is_told_on_without_a_gap(serving, frames):
    async with serving([ModelUnavailableError("gone fishing"), answer("back")]) as (client, daemon):
        body = {"model": "agent", "input": "x", "background": True, "stream": True}
        (supervisor,) = daemon.tenants.supervisors
        supervisor._retry_after_s = (0.1,)
        with anyio.fail_after(20):
            *events, done = frames((await client.post("/v1/responses", json=body)).text)
        assert done == "[DONE]"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "back"


async def test_events_are_kept_with_their_response_and_dropped_with_it(tmp_path, begun):
    store = ResponseStore(tmp_path)
    stored = Stored(response=begun, input=[], run_id="run_1", is_settled=False)
    await store.put(stored, Part(number=0, seq=0, events=[{"type": "a"}]))
    assert await store.tell(stored, Part(number=1, seq=2, events=[{"type": "b"}, {"type": "c"}]))
    found, parts = await store.told(begun.id)
    assert found.is_told
    assert [(part.number, part.seq, len(part.events)) for part in parts] == [(0, 0, 1), (1, 2, 2)]
    assert await store.delete(begun.id)
    assert await store.told(begun.id) is None
    assert not await store.tell(stored, Part(number=3, seq=2, events=[{"type": "d"}]))


async def test_events_of_what_is_over_are_dropped_after_a_day(tmp_path, begun, monkeypatch):
    store = ResponseStore(tmp_path)
    for number, name in enumerate(("resp_1", "resp_2", "resp_3")):
        response = type(begun)(**{f: getattr(begun, f) for f in begun.__struct_fields__} | {"id": name})
        stored = Stored(response=response, input=[], run_id=f"run_{number}", is_settled=False)
        monkeypatch.setattr("time.time", lambda number=number: 100_000.0 * number)
        await store.put(stored, Part(number=0, seq=0, events=[{"type": "a"}]))
        if name != "resp_2":
            over = Stored(response=response, input=[], run_id=f"run_{number}", is_settled=True)
            assert await store.tell(over, Part(number=1, seq=1, events=[{"type": "b"}]))
    assert [bool((await store.told(name))[1]) for name in ("resp_1", "resp_2", "resp_3")] == [
        False,
        True,
        True,
    ]


async def test_a_file_of_before_gets_the_table(tmp_path, begun):
    import sqlite3

    store = ResponseStore(tmp_path)
    await store.put(Stored(response=begun, input=[]))
    with sqlite3.connect(tmp_path / "responses.db") as db:
        db.execute("DROP TABLE told")
        db.execute("PRAGMA user_version = 0")
    db.close()
    assert (await store.get(begun.id)).is_told is False


async def test_what_cannot_be_written_is_not_told_until_it_can(
    make_agent, begun, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("agent_api.openai.tellings.AGAIN_S", 0.05)
    file, away = tmp_path / "responses.db", tmp_path / "away.db"
    async with anyio.create_task_group() as tasks:
        supervisor = Supervisor(make_agent([answer("one two")]), tasks)
        run_id = await supervisor.agent.runner.start("hello", session_id="s")
        await supervisor.agent.runner.drive(run_id)
        tellings = Tellings(supervisor)
        stored = Stored(response=begun, input=[], run_id=run_id, is_settled=False)
        await tellings.begin(stored)
        file.rename(away)
        file.mkdir()
        telling = await tellings.of(stored)
        told = b""
        with anyio.fail_after(10):
            while "waits to be told" not in caplog.text:
                await anyio.sleep(0.01)
            async for piece in telling.behind(-1):
                told += piece
                if told.count(b"\ndata: ") == 2:
                    file.rmdir()
                    away.rename(file)
        assert told.endswith(b"data: [DONE]\n\n")
        assert (await ResponseStore(tmp_path).get(begun.id)).response.status == "completed"
