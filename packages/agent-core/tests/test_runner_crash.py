"""A crash at every boundary: before and after each append, and inside each call of a port. The next runner takes up
what is owed, comes to the same answer, and repeats nothing silently.
"""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core import events as ev
from agent_core.chat import ModelRequest
from agent_core.errors import JournalUnavailableError
from agent_core.messages import user
from agent_core.policy import ALLOWED, Decision, Rules, Verdict
from agent_core.runner import Runner
from agent_core.state import Phase
from agent_core.testing import (
    InMemoryJournal,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    VirtualClock,
    answer,
    tool,
)
from agent_core.testing.models import calls
from agent_core.tools import ToolCall
from agent_core.transitions import replay


class Crash(BaseException):
    """The process is gone. No `except Exception` may see it."""


class Fuse:
    """Burns by one at every boundary; at its end the process crashes."""

    def __init__(self):
        self.left = None
        self.burnt = 0

    def burn(self):
        self.burnt += 1
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:  # what still runs beside it is gone too
                raise Crash


class CrashingJournal(InMemoryJournal):
    def __init__(self, fuse):
        super().__init__()
        self.fuse = fuse

    async def append(self, run_id, expected_seq, events, *, writer):
        self.fuse.burn()
        seq = await super().append(run_id, expected_seq, events, writer=writer)
        self.fuse.burn()
        return seq


class CrashingMemory(NoMemory):
    def __init__(self, fuse):
        super().__init__()
        self.fuse = fuse

    async def hydrate(self, request):
        self.fuse.burn()
        return await super().hydrate(request)

    async def remember(self, outcome):
        self.fuse.burn()
        await super().remember(outcome)
        self.fuse.burn()


class CrashingModel(ScriptedModel):
    """Calls two tools, then answers with their results: it needs no memory of its own."""

    def __init__(self, fuse):
        super().__init__([_reply])
        self.fuse = fuse

    async def stream(self, request):
        self.fuse.burn()
        async for item in super().stream(request):
            self.fuse.burn()
            yield item


def _reply(request):
    results = request.messages[-1].tool_results
    if results:
        return answer(" and ".join(result.content for result in results))
    return calls(
        ToolCall(tool_call_id="a", name="send", arguments={}),
        ToolCall(tool_call_id="b", name="read", arguments={}),
    )


class CrashingTools(ScriptedTools):
    def __init__(self, fuse):
        self.effects = []
        super().__init__({"send": self._send, "read": lambda: "read"}, specs=[tool("send", idempotent=False)])
        self.fuse = fuse

    def _send(self):
        self.effects.append("sent")
        return "sent"

    async def specs(self, query):
        self.fuse.burn()
        return await super().specs(query)

    async def run(self, call, context):
        self.fuse.burn()
        await anyio.lowlevel.checkpoint()
        result = await super().run(call, context)
        self.fuse.burn()
        return result


def ask_before_sending(state, spec, call):
    return Decision(verdict=Verdict.ASK, reason="sends") if call.name == "send" else ALLOWED


class World:
    """What outlives a process: the journal, the memory, and what the tools did out there."""

    def __init__(self, policy):
        self.fuse = Fuse()
        self.journal = CrashingJournal(self.fuse)
        self.memory = CrashingMemory(self.fuse)
        self.tools = CrashingTools(self.fuse)
        self.policy = policy
        self.approvals = 0
        self.ids = SequentialIds()

    def runner(self):
        return Runner(
            model=CrashingModel(self.fuse),
            tools=self.tools,
            memory=self.memory,
            journal=self.journal,
            policy=self.policy,
            clock=VirtualClock(),
            ids=self.ids,
        )

    async def live(self, *fuses):
        """Start a run and drive it to its end; the first process crashes after `fuses[0]` boundaries, and so on."""
        run_id = await self.runner().start("go")
        lengths = list(fuses)
        self.fuse.burnt = 0
        while True:
            self.fuse.left = lengths.pop(0) if lengths else None
            try:
                state = await self.runner().drive(run_id)
                if state.is_over:
                    return state
                await self.approve(state)
            except BaseException as error:
                if not _is_crash(error):
                    raise

    async def approve(self, state):
        for key, call in state.calls.items():
            if call.question:
                self.approvals += 1
                event = ev.ApprovalGranted(at=1.0, tool_call_id=key, by="ann")
                await self.runner().send(state.run_id, event, seen=state.seq)


def _is_crash(error):
    if isinstance(error, BaseExceptionGroup):
        return all(_is_crash(one) for one in error.exceptions)
    return isinstance(error, Crash)


def check(world, state):
    stored = world.journal.runs[state.run_id]
    assert state.phase is Phase.DONE
    assert state.answer == "sent and read"
    assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
    assert replay(state.run_id, [one.event for one in stored]) == state
    assert [outcome.run_id for outcome in world.memory.remembered] == [state.run_id]
    starts = sum(isinstance(one.event, ev.ToolStarted) for one in stored)
    asks = sum(isinstance(one.event, ev.ApprovalRequested) for one in stored)
    first_is_asked = world.policy is ask_before_sending
    assert 1 <= len(world.tools.effects) <= starts
    assert starts - 1 <= asks - first_is_asked


POLICIES = [Rules(), ask_before_sending]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_crash_at_any_boundary_changes_nothing_but_what_a_person_is_asked(policy):
    quiet = World(policy)
    check(quiet, await quiet.live())
    boundaries = quiet.fuse.burnt
    assert boundaries > 20
    for length in range(1, boundaries + 1):
        world = World(policy)
        check(world, await world.live(length))


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_nor_do_many_crashes(policy, lengths):
    async def main():
        world = World(policy)
        check(world, await world.live(*lengths))

    anyio.run(main)


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_that_began_and_did_not_end_is_asked_about_even_if_it_was_approved_before(approved):
    world = World(ask_before_sending if approved else Rules())
    run_id = await world.runner().start("go")
    approval = (
        ev.ApprovalRequested(at=1.0, tool_call_id="a", reason="sends"),
        ev.ApprovalGranted(at=1.0, tool_call_id="a", by="ann"),
    )
    await world.journal.append(
        run_id,
        1,
        (
            ev.ContextHydrated(at=1.0),
            ev.ToolsCalled(at=1.0, parts=_reply(ModelRequest(messages=[user("go")])).parts, model="m"),
            *(approval if approved else ()),
            ev.ToolStarted(at=1.0, tool_call_id="a"),
        ),
        writer="the one that crashed",
    )
    state = await world.runner().drive(run_id)
    assert state.phase is Phase.AWAITING
    assert "may have done its work" in state.calls["a"].question
    assert world.tools.effects == []
    await world.approve(state)
    state = await world.runner().drive(run_id)
    assert state.answer == "sent and read"
    assert world.tools.effects == ["sent"]


@pytest.mark.parametrize("failing", ["context.hydrated", "tools.called", "tool.returned", "outcome.stored"])
async def test_a_journal_that_fails_is_raised_as_it_is_and_the_run_goes_on_later(failing, runner_of):
    class Full(InMemoryJournal):
        full = True

        async def append(self, run_id, expected_seq, events, *, writer):
            if self.full and ev.event_type(events[0]) == failing:
                raise JournalUnavailableError("/data", "disk full")
            return await super().append(run_id, expected_seq, events, writer=writer)

    async def slow():
        await anyio.lowlevel.checkpoint()
        return "sent"

    runner = runner_of([_reply], {"send": slow, "read": lambda: "read"}, journal=Full())
    run_id = await runner.start("go")
    with pytest.raises(JournalUnavailableError, match="disk full"):
        await runner.drive(run_id)
    runner.adapters.journal.full = False
    assert (await runner.drive(run_id)).answer == "sent and read"
