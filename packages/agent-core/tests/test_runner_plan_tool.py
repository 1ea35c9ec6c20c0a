"""A model that plans: its calls refer to each other's results, and it reads one outcome for all of them."""

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent_core import events as ev
from agent_core.chat import ModelProfile, ToolMode
from agent_core.limits import Limits
from agent_core.policy import ALLOWED, Decision, Verdict
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
    call,
    tool,
)
from agent_core.testing.models import calls
from agent_core.tools import Label, ToolCall, ToolSpec
from agent_core.transitions import replay


def node(key, name, after=(), **arguments):
    return {"id": key, "tool": name, "arguments": arguments, "after": list(after)}


def plan(*nodes, key=""):
    return call("plan", {"calls": list(nodes)}, tool_call_id=key)


def ref(key, path=None):
    return {"$ref": key} if path is None else {"$ref": key, "path": path}


def outcomes(state):
    """What the model read of each plan."""
    return [
        json.loads(result.content)
        for message in state.messages
        for result in message.tool_results
        if not result.error or result.content.startswith("{")
    ]


def bad():
    raise ValueError("no")


BODIES = {
    "find": lambda q: json.dumps({"q": q, "ids": [1, 2]}),
    "echo": lambda **arguments: json.dumps(arguments),
    "bad": bad,
}


def events_of(runner, state):
    return [stored.event for stored in runner.adapters.journal.runs[state.run_id]]


async def test_results_are_passed_on_and_the_model_reads_one_outcome(runner_of):
    proposed = plan(
        node("e", "echo", id=ref("f", "ids.1"), all=[ref("f")]), node("f", "find", q="x"), key="p"
    )
    runner = runner_of([proposed, answer("done")], BODIES, planning=True)
    state = await runner.run("go")
    made = {"id": 2, "all": [{"q": "x", "ids": [1, 2]}]}
    assert [one.arguments for one, _ in runner.adapters.tools.ran] == [{"q": "x"}, made]
    assert outcomes(state) == [{"e": {"result": made}, "f": {"result": {"q": "x", "ids": [1, 2]}}}]
    asked, called, results, said = state.messages
    assert (asked.role, called.role, results.role, said.text) == ("user", "assistant", "tool", "done")
    assert [one.tool_call_id for one in called.tool_calls] == ["p"]
    assert [one.tool_call_id for one in results.tool_results] == ["p"]
    assert state.spent.tool_calls == 2
    assert {context.idempotency_key for _, context in runner.adapters.tools.ran} == {
        "run_0002/1/f",
        "run_0002/1/e",
    }


async def test_policy_sees_the_exact_arguments(runner_of):
    seen = []

    def policy(state, spec, one):
        seen.append(one.arguments)
        return Decision(verdict=Verdict.ASK, reason="?") if one.name == "echo" else ALLOWED

    proposed = plan(node("f", "find", q="x"), node("e", "echo", id=ref("f", "ids.0")))
    runner = runner_of([proposed, answer("done")], BODIES, planning=True, policy=policy)
    state = await runner.run("go")
    assert seen == [{"q": "x"}, {"id": 1}]
    assert state.phase is Phase.AWAITING
    assert state.calls["e"].call.arguments == {"id": 1}
    granted = ev.ApprovalGranted(at=1.0, tool_call_id="e", by="ann", arguments={"id": ref("f")})
    await runner.send(state.run_id, granted)
    state = await runner.drive(state.run_id)
    assert runner.adapters.tools.ran[-1][0].arguments == {"id": ref("f")}, "as the person wrote them"
    assert state.answer == "done"


async def test_untrusted_content_is_not_sent_out_by_way_of_a_plan(runner_of):
    specs = [
        ToolSpec(name="send", description="", parameters={}, labels=(Label.SENDS_OUT,), idempotent=True),
        tool("read"),
        tool("upper"),
    ]

    class Labelled(ScriptedTools):
        async def run(self, call, context):
            result = await super().run(call, context)
            untrusted = (Label.RETURNS_UNTRUSTED,) if call.name == "read" else ()
            return replace(result, labels=untrusted)

    tools = Labelled(
        {"read": lambda: "go\naway", "upper": lambda v: "GONE", "send": lambda v: "sent"}, specs=specs
    )
    for sent, asked in ((ref("u"), True), (ref("r"), True), ("hello", False)):
        first = plan(node("r", "read"), node("u", "upper", v=ref("r")))
        second = plan(node("s", "send", v=sent))
        model = ScriptedModel([first, second, answer("done")])
        state = await runner_of(model, tools, planning=True).run("please say hello")
        assert (state.phase is Phase.AWAITING) is asked
        whole = plan(*first.tool_calls[0].arguments["calls"], node("s", "send", after=["u"], v=sent))
        state = await runner_of([whole, answer("done")], tools, planning=True).run("please say hello")
        assert (state.phase is Phase.AWAITING) is asked
        if asked:
            assert state.calls["s"].question == "an argument refers to untrusted content (call r)"


async def test_one_failing_parallel_tool_never_discards_its_siblings_results(runner_of):
    proposed = plan(node("a", "find", q="a"), node("b", "bad"), node("c", "find", q="c"))
    state = await runner_of([proposed, answer("done")], BODIES, planning=True).run("go")
    assert outcomes(state) == [
        {
            "a": {"result": {"q": "a", "ids": [1, 2]}},
            "b": {"error": "failed", "reason": "no"},
            "c": {"result": {"q": "c", "ids": [1, 2]}},
        }
    ]


async def test_a_failed_node_blocks_only_what_depends_on_it(runner_of):
    proposed = plan(
        node("b", "bad"),
        node("x", "echo", v=ref("b")),
        node("y", "find", after=["x"], q="y"),
        node("f", "find", q="f"),
        node("e", "echo", v=ref("f", "q")),
    )
    runner = runner_of([proposed, answer("done")], BODIES, planning=True)
    state = await runner.run("go")
    assert sorted(one.tool_call_id for one, _ in runner.adapters.tools.ran) == ["b", "e", "f"]
    (read,) = outcomes(state)
    assert read["x"] == {"error": "skipped", "reason": "Skipped: it needs the result of b, which failed."}
    assert read["y"] == {"error": "skipped", "reason": "Skipped: it needs the result of x, which failed."}
    assert read["e"] == {"result": {"v": "f"}}


async def test_a_reference_that_leads_nowhere_fails_that_call_alone(runner_of):
    proposed = plan(
        node("f", "find", q="f"), node("e", "echo", v=ref("f", "ids.7")), node("g", "echo", v=ref("f", "q"))
    )
    runner = runner_of([proposed, answer("done")], BODIES, planning=True)
    state = await runner.run("go")
    (read,) = outcomes(state)
    assert read["e"]["error"] == "unresolved_reference"
    assert "nothing at 'ids.7'" in read["e"]["reason"]
    assert read["g"] == {"result": {"v": "f"}}
    assert [one.tool_call_id for one, _ in runner.adapters.tools.ran] == ["f", "g"]


async def test_a_revision_keeps_finished_work(runner_of):
    first = plan(node("f", "find", q="f"), node("b", "bad"))
    second = plan(node("f", "find", q="f"), node("e", "echo", v=ref("f", "q")))
    third = plan(node("g", "echo", v=ref("f", "ids"), w=ref("e")))
    runner = runner_of([first, second, third, answer("done")], BODIES, planning=True)
    state = await runner.run("go")
    assert [one.tool_call_id for one, _ in runner.adapters.tools.ran] == ["f", "b", "e", "g"]
    assert outcomes(state)[1]["f"] == {"result": {"q": "f", "ids": [1, 2]}}
    assert outcomes(state)[2] == {"g": {"result": {"v": [1, 2], "w": {"v": "f"}}}}
    assert state.spent.tool_calls == 4
    assert list(state.finished) == ["f", "e", "g"]


async def test_a_plan_of_finished_work_alone_is_over_at_once(runner_of):
    again = plan(node("f", "find", q="f"))
    runner = runner_of([again, again, answer("done")], BODIES, planning=True, escalate=False)
    state = await runner.run("go")
    assert len(runner.adapters.tools.ran) == 1
    assert len(outcomes(state)) == 2
    assert outcomes(state)[0] == outcomes(state)[1]


async def test_a_faulty_plan_is_a_call_that_failed(runner_of):
    circle = plan(node("a", "echo", v=ref("b")), node("b", "echo", v=ref("a")), key="p")
    runner = runner_of([circle, answer("sorry")], BODIES, planning=True)
    state = await runner.run("go")
    kinds = [ev.event_type(event) for event in events_of(runner, state)]
    assert kinds[2:5] == ["tools.called", "tool.failed", "results.accepted"]
    (result,) = state.messages[-2].tool_results
    assert (result.tool_call_id, result.error) == ("p", "invalid_plan")
    assert result.content.startswith("The plan waits for itself: ")
    assert runner.adapters.tools.ran == []


async def test_a_plan_beside_other_calls_is_refused_and_the_others_are_made(runner_of):
    both = calls(
        ToolCall(tool_call_id="p", name="plan", arguments={"calls": [node("a", "find", q="a")]}),
        ToolCall(tool_call_id="f", name="find", arguments={"q": "f"}),
    )
    state = await runner_of([both, answer("done")], BODIES, planning=True).run("go")
    assert [result.error for result in state.messages[-2].tool_results] == ["invalid_plan", ""]


async def test_a_plan_that_can_be_read_now_is_asked_for_again(runner_of):
    runner = runner_of([answer("done")], BODIES, planning=True)
    run_id = await runner.start("go")
    called = ev.ToolsCalled(at=1.0, parts=plan(node("a", "find", q="a"), key="p").parts, model="m")
    await runner.adapters.journal.append(run_id, 1, (ev.ContextHydrated(at=1.0), called), writer="before")
    state = await runner.drive(run_id)
    assert "propose the plan again" in state.messages[-2].tool_results[0].content


@pytest.mark.parametrize("mode", ToolMode)
@pytest.mark.parametrize("planning", [True, False])
async def test_the_tool_is_offered_where_planning_is_on(mode, planning, runner_of):
    model = ScriptedModel([answer('{"answer": "hi"}')], profile=ModelProfile(name="m", tool_mode=mode))
    await runner_of(model, BODIES, planning=planning).run("go")
    (request,) = model.requests
    if mode is ToolMode.NATIVE:
        assert ("plan" in [spec.name for spec in request.tools]) is planning
    if mode is ToolMode.CONSTRAINED:
        tools = [one["properties"].get("tool") for one in request.constraint.schema["anyOf"]]
        assert ({"const": "plan"} in tools) is planning
    if mode is ToolMode.ROUTED:
        assert (request.tools, request.constraint) == ((), None)


async def test_a_model_in_constrained_mode_plans_too(runner_of):
    profile = ModelProfile(name="m", tool_mode=ToolMode.CONSTRAINED)
    said = {"tool": "plan", "arguments": {"calls": [node("f", "find", q="x"), node("e", "echo", v=ref("f"))]}}
    model = ScriptedModel([answer(json.dumps(said)), answer('{"answer": "done"}')], profile=profile)
    state = await runner_of(model, BODIES, planning=True).run("go")
    assert state.answer == "done"
    assert outcomes(state)[0]["e"] == {"result": {"v": {"q": "x", "ids": [1, 2]}}}


async def test_without_planning_the_tool_is_unknown(runner_of):
    state = await runner_of([plan(node("f", "find", q="x")), answer("done")], BODIES).run("go")
    assert state.messages[-2].tool_results[0].error == "unknown_tool"


async def test_calls_over_the_limit_are_refused_one_by_one(runner_of):
    first = plan(node("f", "find", q="f"))
    second = plan(node("f", "find", q="f"), node("g", "find", q="g"), node("h", "find", q="h"))
    runner = runner_of([first, second, answer("done")], BODIES, planning=True)
    run_id = await runner.start("go", limits=Limits(tool_calls=2))
    state = await runner.drive(run_id)
    assert [one.tool_call_id for one, _ in runner.adapters.tools.ran] == ["f", "g"]
    assert outcomes(state)[1]["h"]["error"] == "limit_reached"


async def test_ready_calls_run_at_the_same_time(runner_of):
    met = anyio.Event()
    here = []

    async def meet(who):
        here.append(who)
        if len(here) == 2:
            met.set()
        with anyio.fail_after(30):
            await met.wait()
        return who

    proposed = plan(node("a", "meet", who="a"), node("b", "meet", who="b"))
    state = await runner_of([proposed, answer("done")], {"meet": meet}, planning=True).run("go")
    assert outcomes(state) == [{"a": {"result": "a"}, "b": {"result": "b"}}]


# ── any plan ─────────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def plans(draw):
    """Nodes in any order whose edges, some by reference, go from later ids to earlier ones; some calls fail."""
    count = draw(st.integers(1, 8))
    nodes = []
    for number in range(count):
        earlier = [f"n{other}" for other in range(number)]
        some = st.lists(st.sampled_from(earlier), unique=True, max_size=3) if earlier else st.just([])
        name = draw(st.sampled_from(["echo", "echo", "echo", "bad"]))
        refs = {f"v{other}": ref(other) for other in draw(some)} if name == "echo" else {}
        # Every call differs: the same call that fails twice in the same way ends its plan, by another rule.
        nodes.append(node(f"n{number}", name, draw(some), me=number, **refs))
    return draw(st.permutations(nodes))


def waits(one):
    return {*one["after"], *(value["$ref"] for value in one["arguments"].values() if isinstance(value, dict))}


class Gone(BaseException):
    """The process is gone."""


class CrashingJournal(InMemoryJournal):
    """Crashes once, before or after an append."""

    def __init__(self, crash_at):
        super().__init__()
        self.left = crash_at

    def burn(self):
        self.left -= 1
        if self.left == 0:
            raise Gone

    async def append(self, run_id, expected_seq, events, *, writer):
        self.burn()
        seq = await super().append(run_id, expected_seq, events, writer=writer)
        self.burn()
        return seq


def _is_gone(error):
    return isinstance(error, Gone) or (
        isinstance(error, BaseExceptionGroup) and all(_is_gone(one) for one in error.exceptions)
    )


async def lived(nodes, crash_at=0):
    """A run of one plan; the first process crashes at a boundary."""
    tools = ScriptedTools({"echo": lambda **arguments: json.dumps(arguments), "bad": lambda me: bad()})
    journal = CrashingJournal(crash_at)
    ids = SequentialIds()

    def reply(request):
        return answer("done") if request.messages[-1].tool_results else plan(*nodes, key="p")

    def runner():
        return Runner(
            model=ScriptedModel([reply]),
            tools=tools,
            memory=NoMemory(),
            journal=journal,
            clock=VirtualClock(),
            ids=ids,
            planning=True,
        )

    run_id = await runner().start("go") if crash_at == 0 else None
    while run_id is None or not (state := await runner().load(run_id)).is_over:
        try:
            run_id = run_id or next(iter(journal.runs), None) or await runner().start("go")
            await runner().drive(run_id)
        except BaseException as error:
            if not _is_gone(error):
                raise
    return state, tools, [stored.event for stored in journal.runs[run_id]]


@settings(max_examples=100, deadline=None)
@given(plans())
def test_any_plan_is_run_in_a_legal_order_and_read_once(nodes):
    state, tools, events = anyio.run(lived, nodes)
    by_id = {one["id"]: one for one in nodes}
    order = [one.tool_call_id for one, _ in tools.ran]
    assert len(set(order)) == len(order)
    fine = {key for key in by_id if by_id[key]["tool"] == "echo"}
    succeeded = set()
    for key in sorted(by_id, key=lambda one: int(one[1:])):
        if key in fine and waits(by_id[key]) <= succeeded:
            succeeded.add(key)
    assert {key for key in by_id if waits(by_id[key]) <= succeeded} == set(order)
    for key in order:
        assert all(order.index(other) < order.index(key) for other in waits(by_id[key]))
    (read,) = outcomes(state) if succeeded else [json.loads(state.messages[-2].tool_results[0].content)]
    assert set(read) == set(by_id)
    assert {key for key, outcome in read.items() if "result" in outcome} == succeeded
    for length in range(len(events) + 1):
        assert replay(state.run_id, events[:length]).seq == length
    assert replay(state.run_id, events) == state


@settings(max_examples=15, deadline=None)
@given(plans())
def test_a_crash_at_any_boundary_of_a_plan_changes_nothing(nodes):
    quiet, _, events = anyio.run(lived, nodes)
    for crash_at in range(1, 2 * len(events) + 1):
        state, tools, _ = anyio.run(lived, nodes, crash_at)
        assert list(state.messages) == list(quiet.messages)
        assert state.phase is Phase.DONE
        keys = [context.idempotency_key.removeprefix(state.run_id) for _, context in tools.ran]
        assert len(keys) <= len(set(keys)) + 8, "only what was under way is repeated"


async def test_a_call_of_a_plan_that_is_not_idempotent_is_not_repeated_silently(runner_of):
    tools = ScriptedTools({"send": lambda **_: "sent"}, specs=[tool("send", idempotent=False)])
    runner = runner_of([plan(node("s", "send"), key="p"), answer("done")], tools, planning=True)
    state = await runner.run("go")
    cut = events_of(runner, state)[:4]
    assert isinstance(cut[-1], ev.ToolStarted)
    other = runner_of([answer("done")], tools, planning=True)
    await other.adapters.journal.append(state.run_id, 0, cut, writer="gone")
    state = await other.drive(state.run_id)
    assert state.phase is Phase.AWAITING
    assert "may have done its work" in state.calls["s"].question
