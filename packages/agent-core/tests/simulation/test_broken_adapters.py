"""The simulation can fail: for each law something that breaks it, and is found out within some dozens of seeds."""

import asyncio
from itertools import count

import anyio
import pytest
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.errors import JournalUnavailableError
from agent_core.messages import user
from agent_core.runner import Runner
from agent_core.testing import InMemoryJournal, NoMemory
from agent_core.testing.simulation import LAWS, Parts, laws, simulate, witness
from agent_core.testing.simulation.witness import Witness
from agent_core.testing.virtual_time import virtual_time
from agent_core.tools import ToolCall, ToolResult

SEEDS = 60


class Tools:
    """Honest tools, to be broken in one place."""

    def __init__(self, tools):
        self.tools = tools

    async def specs(self, query):
        return await self.tools.specs(query)

    def spec(self, name):
        return self.tools.spec(name)

    async def run(self, call, context):
        return await self.tools.run(call, context)


class LosesAnEvent(InMemoryJournal):
    """Acknowledges a batch and keeps all of it but the last event, now and then."""

    def __init__(self):
        super().__init__()
        self.appends = count(1)

    async def append(self, run_id, expected_seq, events, *, writer):
        seq = await super().append(run_id, expected_seq, events, writer=writer)
        if next(self.appends) % 9 == 0:
            self.runs[run_id].pop()
        return seq


class LosesTheSeventh(InMemoryJournal):
    """Says that it has the seventh event, and never has: there is no way on."""

    async def append(self, run_id, expected_seq, events, *, writer):
        seq = await super().append(run_id, expected_seq, events, writer=writer)
        if seq == 7:
            self.runs[run_id].pop()
        return seq


class LetsEveryoneWrite(InMemoryJournal):
    """Appends whatever the expected number is."""

    async def append(self, run_id, expected_seq, events, *, writer):
        return await super().append(run_id, len(self.runs.get(run_id, [])), events, writer=writer)


class Repeats(InMemoryJournal):
    """Gives the second event twice."""

    async def read(self, run_id, after=0):
        async for stored in super().read(run_id, after):
            yield stored
            if stored.seq == 2:
                yield stored


class FillsUp(InMemoryJournal):
    """After twenty appends its disk is full for ever."""

    def __init__(self):
        super().__init__()
        self.left = 20

    async def append(self, run_id, expected_seq, events, *, writer):
        self.left -= 1
        if self.left < 0:
            raise JournalUnavailableError("here", "full")
        return await super().append(run_id, expected_seq, events, writer=writer)


class Forgets(NoMemory):
    async def remember(self, outcome):
        pass


class CallsAllIdempotent(Tools):
    """So no intent is journaled."""

    def spec(self, name):
        spec = super().spec(name)
        return spec and replace(spec, idempotent=True)


class RunsTwice(Tools):
    async def run(self, call, context):
        await super().run(call, context)
        return await super().run(call, context)


class HidesLabels(Tools):
    """So nobody is asked."""

    def spec(self, name):
        spec = super().spec(name)
        return spec and replace(spec, labels=())


class ChangesArguments(Tools):
    """Does something else than what was allowed."""

    async def run(self, call, context):
        return await super().run(replace(call, arguments={"n": 99}), context)


class NewKeys(Tools):
    keys = count()

    async def run(self, call, context):
        return await super().run(call, replace(context, idempotency_key=f"key {next(self.keys)}"))


class OneKey(Tools):
    async def run(self, call, context):
        return await super().run(call, replace(context, idempotency_key="key"))


class WillNotStop(Tools):
    async def run(self, call, context):
        with anyio.CancelScope(shield=True):
            return await super().run(call, context)


class WorksOn(Tools):
    """Says that it is done while it still works."""

    async def run(self, call, context):
        self.task = asyncio.ensure_future(super().run(call, context))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.sleep(0)
        return ToolResult(tool_call_id=call.tool_call_id, content="done")


class SaysSomethingElse(Tools):
    async def run(self, call, context):
        return replace(await super().run(call, context), content="something else")


class SaysWhatCannotBeWritten(Tools):
    async def run(self, call, context):
        return replace(await super().run(call, context), content="\udc80")


class MakesMoreCalls(Tools):
    async def run(self, call, context):
        for number in range(3):
            key = f"{context.idempotency_key} {number}"
            await super().run(
                replace(call, tool_call_id=f"{call.tool_call_id} {number}"),
                replace(context, idempotency_key=key),
            )
        return await super().run(call, context)


class CannotSayWhatItHas(Tools):
    async def specs(self, query):
        raise LookupError("no tools today")


class TellsTwice(Runner):
    """Tells every observer of every event twice."""

    async def drive(self, run_id, *, observers=()):
        return await super().drive(run_id, observers=(*observers, *observers))


class WithoutOrder(Runner):
    """Drives runs of one session at once: every drive has a runner of its own."""

    def __init__(self, **ports):
        super().__init__(**ports)
        self.ports = ports

    async def drive(self, run_id, *, observers=()):
        return await Runner(**self.ports).drive(run_id, observers=observers)


BROKEN = {
    "a journal that loses an acknowledged event": ("acknowledged", Parts(journal=LosesAnEvent)),
    "a journal that always loses the same event": ("ends", Parts(journal=LosesTheSeventh)),
    "a journal that lets everyone write": ("numbers", Parts(journal=LetsEveryoneWrite)),
    "a journal that repeats an event": ("errors", Parts(journal=Repeats)),
    "a journal whose disk is full": ("ends", Parts(journal=FillsUp)),
    "a memory that forgets": ("outcome", Parts(memory=Forgets)),
    "a runner that skips intents": ("intent", Parts(tools=CallsAllIdempotent)),
    "a runner that runs a tool twice": ("intent", Parts(tools=RunsTwice)),
    "a runner that asks nobody": ("approved", Parts(tools=HidesLabels)),
    "a runner that changes what was allowed": ("approved", Parts(tools=ChangesArguments)),
    "a runner that changes a key": ("keys", Parts(tools=NewKeys)),
    "a runner that shares a key": ("keys", Parts(tools=OneKey)),
    "a tool that will not stop": ("cancel", Parts(tools=WillNotStop)),
    "a tool that outlasts its deadline": ("deadline", Parts(tools=WillNotStop)),
    "a tool that outlasts its run's time": ("limits", Parts(tools=WillNotStop)),
    "a tool that works on": ("nothing left", Parts(tools=WorksOn)),
    "a runner that changes a result": ("results", Parts(tools=SaysSomethingElse)),
    "a result that cannot be written": ("replay", Parts(tools=SaysWhatCannotBeWritten)),
    "a runner that makes more calls": ("limits", Parts(tools=MakesMoreCalls)),
    "a runner that raises anything": ("errors", Parts(tools=CannotSayWhatItHas)),
    "a runner that tells twice": ("observers", Parts(runner=TellsTwice)),
    "a runner without order": ("sessions", Parts(runner=WithoutOrder)),
}


@pytest.mark.parametrize(("law", "parts"), BROKEN.values(), ids=BROKEN.keys())
def test_is_found_out(law, parts):
    assert law in LAWS
    found = (law in {one.law for one in simulate(seed, parts=parts).violations} for seed in range(SEEDS))
    assert any(found)


# ── what no adapter can break: the machine's own laws, before a witness that is shown a broken machine ─────────────

CALLED = (
    ev.RunStarted(at=1.0, run_id="r", session_id="s", input=user("go"), model="m"),
    ev.ContextHydrated(at=1.0),
)
INTENT = ev.ToolStarted(at=1.0, tool_call_id="c")


def called():
    call = ToolCall(tool_call_id="c", name="send", arguments={})
    return ev.ToolsCalled(at=1.0, parts=(call,), model="m")


def shown(*events, delegated=()):
    """The laws that a witness finds broken by a journal of these events, and one of a delegated run."""

    async def main():
        journal, seen = InMemoryJournal(), Witness(0.0)
        for run_id, own in (("r", events), ("d", delegated)):
            await journal.append(run_id, 0, own, writer="w")
            seen.wrote(run_id, 0, own, "w", len(own))
        await laws.check(seen, journal, NoMemory(), ["r", "d"] if delegated else ["r"])
        return {one.law for one in seen.violations}

    return anyio.run(main, backend_options=virtual_time())


def test_a_call_that_begins_again_without_a_yes_is_found_out():
    assert shown(*CALLED, called(), INTENT) == {"ends"}
    assert "once" in shown(*CALLED, called(), INTENT, INTENT)


def test_an_event_that_the_machine_refuses_is_found_out():
    assert "replay" in shown(*CALLED, *CALLED)


def test_a_state_that_owes_nothing_and_is_not_over_is_found_out(monkeypatch):
    monkeypatch.setattr(witness, "owed", lambda state: ())
    assert "owed" in shown(*CALLED)


def test_a_delegated_run_that_is_not_over_when_its_call_is_back_is_found_out():
    begun = ev.RunStarted(at=1.0, run_id="d", session_id="d", parent_id="r", input=user("go"), model="m")
    delegates = ev.RunDelegated(at=1.0, tool_call_id="c", run_id="d")
    back = ev.ToolReturned(at=1.0, tool_call_id="c", content="done")
    assert "delegated" not in shown(*CALLED, called(), delegates, delegated=(begun,))
    assert "delegated" in shown(*CALLED, called(), delegates, back, delegated=(begun,))


def test_every_law_is_broken_here():
    assert {law for law, _ in BROKEN.values()} | {"once", "replay", "owed", "delegated"} == set(LAWS)
