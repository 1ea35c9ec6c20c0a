"""A runner under any order of what its callers may do: start, drive, break off, restart, decide, cancel, fork."""

from functools import partial

import anyio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from agent_core import Label, Limits, Runner
from agent_core import events as ev
from agent_core.effects import AwaitDecision
from agent_core.errors import IllegalEventError, ModelUnavailableError, StaleCompletionError
from agent_core.planning import asked
from agent_core.policy import Rules
from agent_core.testing import (
    InMemoryJournal,
    LoopClock,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    answer,
    virtual_time,
)
from agent_core.testing.models import calls
from agent_core.tools import ToolCall, ToolSpec
from agent_core.transitions import owed, replay

TOOLS = ("look", "send", "wipe", "ask")
TURNS = st.lists(
    st.one_of(st.just("answer"), st.just("away"), st.lists(st.sampled_from(TOOLS), min_size=1, max_size=3)),
    max_size=4,
)
LIMITS = st.builds(Limits, turns=st.integers(1, 4), tool_calls=st.integers(0, 6), last_turn=st.booleans())


def spec(name):
    return ToolSpec(
        name=name,
        description=name,
        parameters={"type": "object"},
        idempotent=name in {"look", "ask"},
        labels=(Label.DESTROYS,) if name == "wipe" else (),
        asks="question" if name == "ask" else "",
    )


class CallersOfARunner(RuleBasedStateMachine):
    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        self.journal, self.ids, self.effects = InMemoryJournal(), SequentialIds(), []
        self.script, self.over, self.seed, self.said = [], {}, 0, 0
        self.restart()

    def now_in(self, work, *arguments):
        self.seed += 1
        return anyio.run(work, *arguments, backend_options=virtual_time(self.seed))

    @rule()
    def restart(self):
        """The process is gone; another one goes on with the journal."""
        self.memory = NoMemory()
        bodies = {name: self.work(name) for name in TOOLS}
        self.runner = Runner(
            model=ScriptedModel([self.reply]),
            tools=ScriptedTools(bodies, specs=[spec(name) for name in TOOLS]),
            memory=self.memory,
            journal=self.journal,
            policy=Rules(),
            clock=LoopClock(),
            ids=self.ids,
        )

    def work(self, name):
        async def work(**arguments):
            await anyio.sleep(1)
            self.effects.append(name)
            return f"{name} {len(self.effects)}"

        return work

    def reply(self, request):
        turn = self.script.pop(0) if self.script else "answer"
        self.said += 1
        if turn == "away":
            raise ModelUnavailableError("away")
        if turn == "answer":
            return answer(f"answer {self.said}")
        return calls(
            *(
                ToolCall(tool_call_id=f"c{self.said}.{place}", name=name, arguments={"question": "which?"})
                for place, name in enumerate(turn)
            )
        )

    @rule(target=runs, limits=LIMITS, session=st.sampled_from("ab"))
    def start(self, limits, session):
        return self.now_in(self.started, limits, session)

    async def started(self, limits, session):
        return await self.runner.start("go", session_id=session, limits=limits)

    @rule(run_id=runs, turns=TURNS, breaks_off_s=st.one_of(st.none(), st.floats(0, 3)))
    def drive(self, run_id, turns, breaks_off_s):
        self.script = list(turns)
        self.now_in(self.driven, run_id, breaks_off_s)

    async def driven(self, run_id, breaks_off_s):
        with anyio.move_on_after(breaks_off_s) as scope:
            try:
                state = await self.runner.drive(run_id)
            except ModelUnavailableError:
                return
            assert state == await self.runner.load(run_id)
            assert all(isinstance(effect, AwaitDecision) for effect in owed(state))
        assert breaks_off_s is not None or not scope.cancelled_caught

    @precondition(lambda self: any(asked(self.state(run_id).calls) for run_id in self.journal.runs))
    @rule(data=st.data(), kind=st.sampled_from(["grant", "edit", "deny", "input"]))
    def decide(self, data, kind):
        waiting = [
            (run_id, one.call.tool_call_id)
            for run_id in self.journal.runs
            for one in asked(self.state(run_id).calls)
            if not self.state(run_id).is_over
        ]
        if waiting:
            run_id, key = data.draw(st.sampled_from(waiting))
            before = self.state(run_id)
            look_and_decide = partial(self.runner.send, seen=before.seq)
            after = self.now_in(look_and_decide, run_id, self.command(kind, key))
            assert after.seq == before.seq + 1
            assert after == self.state(run_id)

    def command(self, kind, key):
        match kind:
            case "grant":
                return ev.ApprovalGranted(at=1.0, tool_call_id=key, by="ann")
            case "edit":
                return ev.ApprovalGranted(at=1.0, tool_call_id=key, by="ann", arguments={"question": "that?"})
            case "deny":
                return ev.ApprovalDenied(at=1.0, tool_call_id=key, by="ann", reason="no")
            case _:
                return ev.InputGiven(at=1.0, tool_call_id=key, by="ann", text="this one")

    @rule(run_id=runs, kind=st.sampled_from(["grant", "deny", "input"]))
    def decide_what_nobody_asked(self, run_id, kind):
        before = list(self.journal.runs[run_id])
        try:
            self.now_in(self.runner.send, run_id, self.command(kind, "c0.0"))
        except (IllegalEventError, StaleCompletionError):
            assert self.journal.runs[run_id] == before
        else:
            raise AssertionError("nobody asked")

    @rule(run_id=runs)
    def cancel(self, run_id):
        was_over = self.state(run_id).is_over
        try:
            self.now_in(self.cancelled, run_id)
        except IllegalEventError:
            assert was_over
        else:
            assert not was_over

    async def cancelled(self, run_id):
        return await self.runner.cancel(run_id, by="ann")

    @rule(target=runs, run_id=runs, data=st.data())
    def fork(self, run_id, data):
        at_seq = data.draw(st.integers(1, len(self.journal.runs[run_id])))
        new_id = self.now_in(self.runner.fork, run_id, at_seq)
        events = [one.event for one in self.journal.runs[run_id][:at_seq]]
        assert [one.event for one in self.journal.runs[new_id]] == events
        return new_id

    def state(self, run_id):
        return replay(run_id, [one.event for one in self.journal.runs[run_id]])

    @invariant()
    def journals_are_legal_and_owe_what_they_should(self):
        for run_id, stored in self.journal.runs.items():
            state = self.state(run_id)
            assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
            assert bool(owed(state)) is not state.is_over

    @invariant()
    def what_is_over_stays_as_it_is(self):
        for run_id, length in self.over.items():
            assert len(self.journal.runs[run_id]) == length
        self.over = {
            run_id: len(stored) for run_id, stored in self.journal.runs.items() if self.state(run_id).is_over
        }

    @invariant()
    def what_is_not_idempotent_was_meant(self):
        """Every effect has its intent; what destroys has a yes as well."""
        events = [one.event for stored in self.journal.runs.values() for one in stored]
        intents = sum(isinstance(event, ev.ToolStarted) for event in events)
        grants = sum(isinstance(event, ev.ApprovalGranted) for event in events)
        assert sum(name in {"send", "wipe"} for name in self.effects) <= intents
        assert self.effects.count("wipe") <= grants

    @invariant()
    def every_call_has_one_result_before_the_model_is_asked_again(self):
        for run_id in self.journal.runs:
            state = self.state(run_id)
            if state.phase == "reasoning":
                called = [one.tool_call_id for message in state.messages for one in message.tool_calls]
                back = [one.tool_call_id for message in state.messages for one in message.tool_results]
                assert sorted(called) == sorted(back)


CallersOfARunner.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCallersOfARunner = CallersOfARunner.TestCase
