"""What a runner does with results and answers that do not do: by rule, by a critic, by a schema."""

import anyio
import msgspec
import pytest

from agent_core import events as ev
from agent_core.chat import ModelProfile, ToolMode
from agent_core.limits import Limits
from agent_core.reflexion import Finding, Judgement, Reflexion
from agent_core.state import Phase
from agent_core.testing import ScriptedModel, ScriptedTools, answer, call
from agent_core.tools import ToolResult

FINE = (Judgement(),)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def kinds(runner, state):
    return [ev.event_type(stored.event) for stored in runner.adapters.journal.runs[state.run_id]]


def bad():
    raise ValueError("no")


class Judge:
    """A critic that says what a test wrote; the last is repeated."""

    def __init__(self, *, results=FINE, answers=FINE):
        self.results, self.answers = list(results), list(answers)

    async def judge(self, state):
        return self._said(self.results)

    async def check(self, state):
        return self._said(self.answers)

    def _said(self, script):
        one = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(one, Exception):
            raise one
        return one


# ── circles ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_call_with_the_same_result_goes_back_then_to_a_person(runner_of):
    runner = runner_of([call("t", {"x": 1})], {"t": lambda x: "same"})
    state = await runner.run("go")
    assert state.phase is Phase.AWAITING
    assert state.spent.turns == 3
    (asked,) = [one for one in state.calls.values() if one.question]
    assert asked.question == "t was called 3 times with the same arguments and the same result"
    notes = [message.text for message in state.messages if message.role == "tool"]
    assert notes[0] == ""
    assert notes[1].startswith("t gave the same result to the same arguments as before.")
    runner.adapters.model._replies = [answer("done")]
    await runner.send(
        state.run_id, ev.ApprovalGranted(at=1.0, tool_call_id=asked.call.tool_call_id, by="ann")
    )
    assert (await runner.drive(state.run_id)).answer == "done"


async def test_without_a_person_to_ask_a_circle_ends_with_a_last_turn(runner_of):
    replies = [call("t")] * 3 + [answer("what I have")]
    runner = runner_of(replies, {"t": lambda: "same"}, escalate=False)
    state = await runner.run("go")
    assert (state.phase, state.answer, state.limit_reached) == (Phase.DONE, "what I have", "repeated_calls")
    assert runner.adapters.model.requests[-1].tools == ()


async def test_a_circle_of_two_calls_is_noticed_too(runner_of):
    replies = [call("a"), call("b")] * 3 + [answer("what I have")]
    runner = runner_of(replies, {"a": lambda: "a", "b": lambda: "b"}, escalate=False)
    assert (await runner.run("go")).limit_reached == "repeated_calls"


async def test_another_result_of_the_same_call_is_progress(runner_of):
    ticks = iter("12345")
    runner = runner_of([call("t")] * 5 + [answer("done")], {"t": lambda: next(ticks)})
    state = await runner.run("go")
    assert state.answer == "done"
    assert "results.revised" not in kinds(runner, state)


async def test_turns_in_which_every_call_fails_end_with_a_last_turn(runner_of):
    replies = [call("bad", {"n": n}) for n in range(3)] + [answer("I cannot")]
    state = await runner_of(replies, {"bad": lambda n: bad()}).run("go")
    assert (state.phase, state.answer, state.limit_reached) == (Phase.DONE, "I cannot", "failed_turns")


async def test_or_with_a_failure_where_there_is_no_last_turn(runner_of):
    replies = [call("bad", {"n": n}) for n in range(3)]
    runner = runner_of(replies, {"bad": lambda n: bad()})
    run_id = await runner.start("go", limits=Limits(last_turn=False))
    state = await runner.drive(run_id)
    assert state.phase is Phase.FAILED
    assert "failed_turns" in state.error


async def test_one_success_between_failures_is_progress(runner_of):
    replies = [call("t", {"n": n}) for n in (0, 1, 2, 3, 4)] + [answer("done")]
    state = await runner_of(replies, {"t": lambda n: "ok" if n == 2 else bad()}).run("go")
    assert (state.answer, state.limit_reached) == ("done", "")


async def test_every_rule_can_be_turned_off(runner_of):
    off = Reflexion(revise_empty=False, revise_repeated=None, escalate_repeated=None, failed_turns=None)
    runner = runner_of(
        [call("t")] * 5 + [call("bad")] * 5 + [answer("done")], {"t": str, "bad": bad}, reflexion=off
    )
    state = await runner.run("go")
    assert state.answer == "done"
    assert "results.revised" not in kinds(runner, state)


async def test_an_empty_result_goes_back_with_the_reason(runner_of):
    runner = runner_of([call("t"), answer("done")], {"t": str})
    state = await runner.run("go")
    assert state.answer == "done"
    assert state.messages[-2].text.startswith("t gave an empty result.")


@pytest.mark.parametrize(("used", "kind"), [(False, "results.accepted"), (True, "results.revised")])
async def test_in_a_plan_a_result_may_be_empty_unless_another_call_takes_it_in(used, kind, runner_of):
    arguments = {"v": {"$ref": "a"}} if used else {}
    nodes = [{"id": "a", "tool": "t"}, {"id": "b", "tool": "u", "arguments": arguments, "after": ["a"]}]
    runner = runner_of(
        [call("plan", {"calls": nodes}), answer("done")], {"t": str, "u": lambda: "u"}, planning=True
    )
    state = await runner.run("go")
    assert kind in kinds(runner, state)
    assert [one.name for one, _ in runner.adapters.tools.ran] == (["t"] if used else ["t", "u"])


# ── lessons ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_memory_is_told_what_failed_and_what_came_right(runner_of):
    def typed(**arguments):
        if arguments != {"n": 1}:
            raise ValueError("n: expected int")
        return "ok"

    runner = runner_of([call("t", {"n": "one"}), call("t", {"n": 1}), answer("done")], {"t": typed})
    await runner.run("go")
    (outcome,) = runner.adapters.memory.remembered
    (lesson,) = outcome.lessons
    assert (lesson.tool, lesson.reason, lesson.fixed_by) == ("t", "failed: n: expected int", '{"n":1}')


# ── a critic ─────────────────────────────────────────────────────────────────────────────────────────────────────

VERDICTS = {
    Finding.ACCEPT: ("results.accepted", Phase.DONE),
    Finding.RETRY: ("results.retried", Phase.DONE),
    Finding.REVISE: ("results.revised", Phase.DONE),
    Finding.ESCALATE: ("run.escalated", Phase.AWAITING),
}


@pytest.mark.parametrize(("finding", "expected"), VERDICTS.items())
async def test_a_critic_judges_what_the_rules_let_pass(finding, expected, runner_of):
    critic = Judge(results=[Judgement(finding=finding, reason="look"), Judgement()])
    runner = runner_of([call("t"), answer("done")], {"t": lambda: "ok"}, critic=critic)
    state = await runner.run("go")
    assert (expected[0] in kinds(runner, state), state.phase) == (True, expected[1])
    if finding is Finding.RETRY:
        (one, first), (other, second) = runner.adapters.tools.ran
        assert one == other
        assert first.idempotency_key == second.idempotency_key
        assert (first.attempt, second.attempt) == (1, 2)
    if finding is Finding.ESCALATE:
        await runner.send(
            state.run_id, ev.ApprovalGranted(at=1.0, tool_call_id=next(iter(state.calls)), by="ann")
        )
        assert (await runner.drive(state.run_id)).answer == "done"


@pytest.mark.parametrize("finding", [Finding.RETRY, Finding.ESCALATE])
async def test_what_a_critic_may_not_have_is_a_revision(finding, runner_of):
    critic = Judge(results=[Judgement(finding=finding), Judgement()])
    runner = runner_of(
        [call("t"), answer("done")],
        {"t": lambda: "ok"},
        critic=critic,
        escalate=False,
        reflexion=Reflexion(attempts=1),
    )
    state = await runner.run("go")
    assert state.messages[-2].text == "The result was rejected."


async def test_the_rules_go_first(runner_of):
    critic = Judge(results=[AssertionError("not asked")])
    runner = runner_of([call("t"), answer("done")], {"t": str}, critic=critic)
    assert "results.revised" in kinds(runner, await runner.run("go"))


async def test_the_rules_go_first_after_a_person_too(runner_of):
    runner = runner_of([call("t"), answer("done")], {"t": lambda: "ok"}, critic=Judge())
    run_id = await runner.start("go")
    failed = ToolResult(tool_call_id="c", content="", error="busy", retryable=True)
    before = (
        ev.ContextHydrated(at=1.0),
        ev.ToolsCalled(at=1.0, parts=call("t", tool_call_id="c").parts, model="m"),
        ev.tool_back(failed, at=1.0),
    )
    await runner.adapters.journal.append(run_id, 1, before, writer="gone")
    state = await runner.drive(run_id)
    assert "results.retried" in kinds(runner, state)


async def test_a_critic_sends_an_answer_back_up_to_the_limit(runner_of):
    critic = Judge(
        answers=[Judgement(finding=Finding.ESCALATE), Judgement(finding=Finding.REVISE, reason="shorter")]
    )
    runner = runner_of([answer("a"), answer("b"), answer("c")], critic=critic)
    state = await runner.run("go")
    assert (state.answer, state.progress.answers_revised) == ("c", 2)
    assert [lesson.reason for lesson in state.lessons] == [
        "The answer was rejected. Answer again.",
        "shorter",
    ]
    assert [lesson.fixed_by for lesson in state.lessons] == ["c", "c"]


async def test_a_critic_that_fails_never_loses_a_run(runner_of):
    critic = Judge(results=[ValueError("broken")], answers=[OSError("gone")])
    runner = runner_of([call("t"), answer("done")], {"t": lambda: "ok"}, critic=critic)
    state = await runner.run("go")
    assert state.answer == "done"
    notes = [getattr(one.event, "note", "") for one in runner.adapters.journal.runs[state.run_id]]
    assert [note for note in notes if note] == [
        "the critic failed: ValueError: broken",
        "the critic failed: OSError: gone",
    ]


async def test_a_critic_that_is_slow_is_not_waited_for(runner_of):
    class Slow(Judge):
        async def judge(self, state):
            await anyio.sleep_forever()

    rules = Reflexion(critic_timeout_s=0.01)
    runner = runner_of([call("t"), answer("done")], {"t": lambda: "ok"}, critic=Slow(), reflexion=rules)
    assert (await runner.run("go")).answer == "done"


# ── answers that fit a schema ────────────────────────────────────────────────────────────────────────────────────


def fits(text, schema):
    try:
        msgspec.json.decode(text, type=msgspec.defstruct("N", [("n", int)]))
    except msgspec.ValidationError as error:
        return str(error)
    return ""


async def test_an_answer_that_does_not_fit_goes_back_with_the_reason(runner_of):
    replies = [answer("one"), answer('{"n": "one"}'), answer('{"n": 1}')]
    runner = runner_of(replies, answer_check=fits)
    state = await runner.run("go", answer_schema=SCHEMA)
    assert (state.phase, state.answer) == (Phase.DONE, '{"n": 1}')
    reasons = [message.text for message in state.messages if message.role == "user"][1:]
    assert reasons[0].startswith("Your answer must be one JSON value and nothing else: ")
    assert "Expected `int`, got `str` - at `$.n`" in reasons[1]
    assert '"required": ["n"]' in runner.adapters.model.requests[0].messages[0].text


async def test_an_answer_that_never_fits_fails_the_run(runner_of):
    runner = runner_of([answer("one")], answer_check=fits)
    state = await runner.run("go", answer_schema=SCHEMA)
    assert state.phase is Phase.FAILED
    assert state.error.startswith("invalid_answer: Your answer must be one JSON value")
    assert len(runner.adapters.model.requests) == 3


async def test_without_a_check_any_json_will_do(runner_of):
    assert (await runner_of([answer("[]")]).run("go", answer_schema=SCHEMA)).answer == "[]"


@pytest.mark.parametrize("tools", [{}, {"t": lambda: "ok"}])
async def test_a_constrained_model_is_held_to_the_schema(tools, runner_of):
    profile = ModelProfile(name="m", tool_mode=ToolMode.CONSTRAINED)
    said = '{"answer": {"n": 1}}' if tools else '{"n": 1}'
    model = ScriptedModel([answer(said)], profile=profile)
    state = await runner_of(model, ScriptedTools(tools), answer_check=fits).run("go", answer_schema=SCHEMA)
    assert msgspec.json.decode(state.answer) == {"n": 1}
    schema = model.requests[0].constraint.schema
    assert (schema["anyOf"][-1]["properties"]["answer"] if tools else schema) == SCHEMA
