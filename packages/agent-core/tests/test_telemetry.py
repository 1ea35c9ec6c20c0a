"""What an operator sees of a run: spans, metrics, and nothing of what was said unless asked for."""

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agent_core import codec
from agent_core import events as ev
from agent_core.agents import SubAgent
from agent_core.chat import ModelProfile, TextDelta
from agent_core.errors import ModelRefusedError, ModelUnavailableError
from agent_core.limits import Limits
from agent_core.messages import Message, Text, Usage, assistant, user
from agent_core.policy import ALLOWED, Decision, Verdict
from agent_core.ports import StoredEvent
from agent_core.state import Phase, RunState
from agent_core.telemetry import CONVENTION, SECONDS_BUCKETS, TOKEN_BUCKETS, TelemetryObserver
from agent_core.testing import ScriptedModel, ScriptedTools, VirtualClock, answer, call
from agent_core.tools import ToolCall, ToolResult
from agent_core.transitions import evolve

GOLDEN = sorted((Path(__file__).parent / "golden" / f"version_{codec.SCHEMA_VERSION}").glob("*.jsonl"))
START = 1_700_000_000.0
PROFILE = ModelProfile(name="mistral:small")


class Seen:
    """An observer with exporters in memory."""

    def __init__(self, **options):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider(metric_readers=[self.reader])
        self.observer = TelemetryObserver(tracer_provider=self.tracers, meter_provider=meters, **options)

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span

    def points(self, metric):
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def play(self, run_id, *told, writer="w", state=None):
        """Tell of events as a drive would; an event may be paired with a writer of its own."""
        state = state or RunState(run_id=run_id)
        for one in told:
            event, by = one if isinstance(one, tuple) else (one, writer)
            state = evolve(state, event)
            stored = StoredEvent(run_id=run_id, seq=state.seq, event=event, writer=by)
            self.observer.on_event(stored, state)
        return state


def seconds(span):
    return (span.start_time / 1e9 - START, span.end_time / 1e9 - START)


def started(at=START):
    return ev.RunStarted(at=at, run_id="r", session_id="s", input=user("hi"), model="mistral:small")


def hydrated(at):
    return ev.ContextHydrated(at=START + at)


def called(at, *names):
    parts = tuple(ToolCall(tool_call_id=name, name=name, arguments={"of": name}) for name in names)
    return ev.ToolsCalled(at=START + at, parts=parts, model="m")


def returned(at, name):
    return ev.ToolReturned(at=START + at, tool_call_id=name, content="ok")


def ended(at):
    return (
        ev.ModelAnswered(at=START + at, parts=assistant("done").parts, model="m"),
        ev.AnswerAccepted(at=START + at),
        ev.OutcomeStored(at=START + at),
    )


def everything_shown(seen):
    spans = [json.loads(span.to_json()) for span in seen.spans]
    data = seen.reader.get_metrics_data()
    return json.dumps(spans) + (data.to_json() if data else "")


async def test_a_run_with_one_tool(runner_of):
    seen, clock = Seen(agent_name="clerk", clock=VirtualClock(START + 0.5)), None

    def add(a, b):
        clock.advance(2.0)
        return str(a + b)

    runner = runner_of(
        ScriptedModel([call("add", {"a": 1, "b": 2}), answer("It is 3.")], profile=PROFILE),
        ScriptedTools({"add": add}),
        observers=[seen.observer],
    )
    clock = runner.adapters.clock
    state = await runner.run("1 + 2?")
    root, tool = seen.one("invoke_agent clerk"), seen.one("execute_tool add")
    chats = seen.named("chat small")
    assert [seconds(span) for span in (root, tool, *chats)] == [(0, 2), (0, 2), (0, 0), (2, 2)]
    assert all(span.parent.span_id == root.context.span_id for span in (tool, *chats))
    assert root.parent is None
    assert (root.kind, tool.kind, chats[0].kind) == (SpanKind.INTERNAL, SpanKind.INTERNAL, SpanKind.CLIENT)
    for span in seen.spans:
        assert span.attributes["gen_ai.provider.name"] == "mistral_ai"
        assert span.attributes["gen_ai.request.model"] == "small"
        assert span.attributes["gen_ai.conversation.id"] == state.session_id
        assert span.attributes["agent_core.run.id"] == state.run_id
        assert span.status.status_code is StatusCode.UNSET
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tool.attributes["gen_ai.tool.name"] == "add"
    assert tool.attributes["gen_ai.tool.call.id"] == "call_1_0"
    assert [span.attributes["gen_ai.response.finish_reasons"] for span in chats] == [
        ("tool_calls",),
        ("stop",),
    ]
    assert root.attributes["gen_ai.usage.output_tokens"] == 3
    assert root.attributes["agent_core.run.phase"] == "done"


async def test_the_metrics_of_a_turn(runner_of):
    seen = Seen(clock=VirtualClock(START + 0.5))
    model = ScriptedModel([answer("one two")], profile=PROFILE)
    await runner_of(model, observers=[seen.observer]).run("hi")
    (duration,) = seen.points("gen_ai.client.operation.duration")
    tokens = {
        point.attributes["gen_ai.token.type"]: point for point in seen.points("gen_ai.client.token.usage")
    }
    (first,) = seen.points("gen_ai.client.operation.time_to_first_chunk")
    assert duration.explicit_bounds == SECONDS_BUCKETS == first.explicit_bounds
    assert tokens["output"].explicit_bounds == TOKEN_BUCKETS
    assert (tokens["input"].sum, tokens["output"].sum) == (1, 2)
    assert (duration.count, duration.sum, first.sum) == (1, 0.0, 0.5)
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "mistral:small",
    }
    assert seen.one("chat small").attributes["gen_ai.response.time_to_first_chunk"] == 0.5


def test_the_buckets_are_those_of_the_conventions():
    assert (TOKEN_BUCKETS[0], TOKEN_BUCKETS[-1], len(TOKEN_BUCKETS)) == (1, 67_108_864, 14)
    assert (SECONDS_BUCKETS[0], SECONDS_BUCKETS[-1], len(SECONDS_BUCKETS)) == (0.01, 81.92, 14)
    assert "read 2026-" in CONVENTION


def test_cached_tokens_are_input_and_reasoning_is_output():
    seen = Seen()
    usage = Usage(
        input_tokens=1,
        cached_input_tokens=4,
        cache_write_tokens=6,
        output_tokens=100,
        reasoning_tokens=1000,
    )
    told = ev.ModelAnswered(at=START, parts=assistant("x").parts, model="m", usage=usage)
    seen.play("r", started(), hydrated(0), told)
    attributes = seen.one("chat small").attributes
    assert attributes["gen_ai.usage.input_tokens"] == 11
    assert attributes["gen_ai.usage.output_tokens"] == 1100


def test_tokens_that_nobody_counted_are_not_reported():
    seen = Seen()
    seen.play("r", started(), hydrated(0), *ended(1))
    assert seen.points("gen_ai.client.token.usage") == []


def test_parallel_calls_overlap():
    seen = Seen()
    seen.play(
        "r",
        started(),
        hydrated(1),
        called(3, "slow", "fast"),
        ev.ToolStarted(at=START + 4, tool_call_id="slow"),
        returned(5, "fast"),
        returned(9, "slow"),
        ev.ResultsAccepted(at=START + 9),
        *ended(10),
    )
    assert seconds(seen.one("execute_tool fast")) == (3, 5)
    assert seconds(seen.one("execute_tool slow")) == (4, 9)
    assert [seconds(span) for span in seen.named("chat small")] == [(1, 3), (9, 10)]
    assert seconds(seen.one("invoke_agent")) == (0, 10)


def test_a_plan_holds_the_turn_that_made_it_and_its_calls_start_when_they_can():
    seen = Seen()
    parts = tuple(ToolCall(tool_call_id=name, name=name, arguments={}) for name in ("a", "b"))
    message = Message(role="assistant", parts=parts)
    seen.play(
        "r",
        started(),
        hydrated(1),
        ev.PlanProposed(at=START + 2, parts=message.parts, model="m", after={"b": ("a",)}),
        returned(5, "a"),
        ev.ResultsAccepted(at=START + 6),
        returned(7, "b"),
    )
    plan, chat = seen.one("plan"), seen.one("chat small")
    assert chat.parent.span_id == plan.context.span_id
    assert seconds(plan) == seconds(chat) == (1, 2)
    assert [seconds(seen.one(f"execute_tool {name}")) for name in ("a", "b")] == [(2, 5), (6, 7)]
    assert seen.one("execute_tool a").parent.span_id == plan.parent.span_id


def test_a_failed_call_is_an_error_and_each_attempt_has_its_span():
    seen = Seen()
    failure = ToolResult(tool_call_id="a", content="broken", error="timeout", retryable=True)
    seen.play(
        "r",
        started(),
        hydrated(0),
        called(1, "a"),
        ev.tool_back(failure, at=START + 2),
        ev.ResultsRetried(at=START + 3, tool_call_ids=("a",), reason="may pass"),
        returned(4, "a"),
    )
    first, second = seen.named("execute_tool a")
    assert (first.attributes["error.type"], first.status.status_code) == ("timeout", StatusCode.ERROR)
    assert seconds(first) == (1, 2)
    assert "error.type" not in second.attributes
    assert seconds(second) == (3, 4)


async def test_a_model_that_refuses_fails_the_turn_and_the_run(runner_of):
    seen = Seen()
    model = ScriptedModel([ModelRefusedError("no key sk-123")], profile=PROFILE)
    await runner_of(model, observers=[seen.observer]).run("hi")
    for name in ("chat small", "invoke_agent"):
        assert seen.one(name).attributes["error.type"] == "refused"
        assert seen.one(name).status.status_code is StatusCode.ERROR
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "refused"
    assert "sk-123" not in everything_shown(seen)


def ask(state, spec, call):
    return Decision(verdict=Verdict.ASK, reason="risky") if call.name == "rm" else ALLOWED


async def test_a_run_that_waits_has_no_open_span_and_goes_on_in_a_linked_one(runner_of):
    seen = Seen()
    runner = runner_of(
        [call("rm"), answer("gone")], {"rm": lambda: "ok"}, policy=ask, observers=[seen.observer]
    )
    state = await runner.run("go")
    assert state.phase is Phase.AWAITING
    waiting = seen.one("invoke_agent")
    assert waiting.attributes["agent_core.run.phase"] == "awaiting"
    assert [event.name for event in waiting.events] == ["agent_core.approval.requested"]
    assert not seen.observer._open
    assert seen.named("execute_tool rm") == []

    runner.adapters.clock.advance(3 * 86_400)
    (key,) = state.calls
    await runner.send(state.run_id, ev.ApprovalGranted(at=runner.now(), tool_call_id=key, by="ann"))
    await runner.drive(state.run_id)
    _, resumed = seen.named("invoke_agent")
    assert resumed.links[0].context.span_id == waiting.context.span_id
    assert resumed.attributes["agent_core.run.resumed"] is True
    assert resumed.attributes["agent_core.run.id"] == waiting.attributes["agent_core.run.id"]
    assert seconds(resumed) == (3 * 86_400, 3 * 86_400)
    assert seconds(seen.one("execute_tool rm")) == (3 * 86_400, 3 * 86_400)
    assert not seen.observer._open
    assert not seen.observer._before


async def test_another_process_has_no_link_to_give_but_the_run_id(runner_of):
    before, after = Seen(), Seen()
    first = runner_of([call("rm")], {"rm": lambda: "ok"}, policy=ask, observers=[before.observer])
    state = await first.run("go")
    journal = first.adapters.journal
    second = runner_of(
        [answer("gone")], {"rm": lambda: "ok"}, policy=ask, observers=[after.observer], journal=journal
    )
    (key,) = state.calls
    await second.send(state.run_id, ev.ApprovalDenied(at=second.now(), tool_call_id=key, by="ann"))
    await second.drive(state.run_id)
    root = after.one("invoke_agent")
    assert not root.links
    assert root.attributes["agent_core.run.id"] == state.run_id
    assert after.named("execute_tool rm") == []


def test_a_run_that_was_cut_off_goes_on_in_a_new_root_and_no_duration_is_made_up():
    seen = Seen()
    seen.play(
        "r",
        (started(), "starter"),
        (hydrated(1), "first"),
        *((event, "second") for event in ended(100)),
    )
    lost, found = seen.named("invoke_agent")
    assert seconds(lost) == (0, 1)
    assert lost.attributes["agent_core.run.phase"] == "reasoning"
    assert seconds(found) == (100, 100)
    assert found.links[0].context.span_id == lost.context.span_id
    assert seen.one("chat small").attributes["agent_core.start_known"] is False
    assert seen.points("gen_ai.client.operation.duration") == []


async def test_a_model_that_is_unavailable_leaves_a_run_that_can_go_on(runner_of):
    seen = Seen()
    model = ScriptedModel([ModelUnavailableError("down"), answer("up")], profile=PROFILE)
    runner = runner_of(model, observers=[seen.observer])
    run_id = await runner.start("hi")
    with pytest.raises(ModelUnavailableError):
        await runner.drive(run_id)
    await runner.drive(run_id)
    assert len(seen.named("invoke_agent")) == 2
    assert not seen.observer._open


async def test_a_cancelled_run_ends_what_was_under_way_and_is_no_error(runner_of):
    seen, running = Seen(), anyio.Event()

    async def forever():
        running.set()
        await anyio.sleep_forever()

    runner = runner_of([call("wait")], {"wait": forever}, observers=[seen.observer])
    run_id = await runner.start("go")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.drive, run_id)
        await running.wait()
        await runner.cancel(run_id, by="ann@example.org", reason="my reason")
    root, tool = seen.one("invoke_agent"), seen.one("execute_tool wait")
    assert tool.attributes["error.type"] == "cancelled"
    assert root.attributes["agent_core.run.phase"] == "cancelled"
    assert root.status.status_code is StatusCode.UNSET
    assert "ann" not in everything_shown(seen)
    assert "my reason" not in everything_shown(seen)


def test_a_turn_that_is_cancelled_ends_then():
    seen = Seen()
    seen.play("r", started(), hydrated(1), (ev.RunCancelled(at=START + 5, by="ann"), "person"))
    assert seconds(seen.one("chat small")) == (1, 5)
    assert seen.one("chat small").attributes["error.type"] == "cancelled"


def test_a_turn_whose_time_is_up_ends_then_and_the_last_one_begins():
    seen = Seen()
    limit = ev.LimitReached(at=START + 5, limit="wall_time_s")
    seen.play("r", started(), hydrated(1), limit, *ended(7))
    cut, last = seen.named("chat small")
    assert (seconds(cut), cut.attributes["error.type"]) == ((1, 5), "limit_reached")
    assert (seconds(last), "error.type" in last.attributes) == ((5, 7), False)


def test_a_limit_between_turns_cuts_nothing():
    seen = Seen()
    first = ev.RunStarted(
        at=START, run_id="r", session_id="s", input=user("hi"), model="mistral:small", limits=Limits(turns=1)
    )
    limit = ev.LimitReached(at=START + 3, limit="turns")
    accepted = ev.ResultsAccepted(at=START + 2.9)
    seen.play("r", first, hydrated(0), called(1, "a"), returned(2, "a"), accepted, limit, *ended(5))
    assert [seconds(span) for span in seen.named("chat small")] == [(0, 1), (3, 5)]


SECRET = "hunter2 is the password"


def a_talkative_run(seen):
    """A run with the secret wherever somebody else's words can be."""
    message = Message(
        role="assistant",
        parts=(
            Text(text=SECRET),
            ToolCall(tool_call_id=SECRET, name=SECRET, arguments={SECRET: SECRET}),
            ToolCall(tool_call_id="ask", name="ask", arguments={}),
        ),
    )
    return seen.play(
        "r",
        ev.RunStarted(
            at=START, run_id="r", session_id="s", input=user(SECRET), model="a:b", instructions=SECRET
        ),
        ev.ContextHydrated(at=START, messages=(user(SECRET),)),
        ev.ToolsCalled(at=START, parts=message.parts, model="m"),
        ev.ApprovalRequested(at=START, tool_call_id="ask", reason=SECRET),
        ev.ToolFailed(at=START, tool_call_id=SECRET, content=SECRET, error=SECRET),
        ev.ApprovalDenied(at=START, tool_call_id="ask", by=SECRET, reason=SECRET),
        ev.ResultsRevised(at=START, reason=SECRET),
        ev.ModelFailed(at=START, code=SECRET, reason=SECRET),
    )


def test_nothing_that_was_said_is_shown():
    seen = Seen()
    a_talkative_run(seen)
    seen.observer.on_delta("r", TextDelta(SECRET))
    assert "hunter2" not in everything_shown(seen)
    assert seen.one("execute_tool _OTHER").attributes["error.type"] == "_OTHER"


def test_content_is_shown_when_asked_for():
    seen = Seen(capture_content=True)
    a_talkative_run(seen)
    turn, tool = seen.named("chat b")[0].attributes, seen.one("execute_tool _OTHER").attributes
    assert turn["gen_ai.system_instructions"] == SECRET
    (context, asked) = json.loads(turn["gen_ai.input.messages"])
    assert context == asked == {"role": "user", "parts": [{"type": "text", "content": SECRET}]}
    (said,) = json.loads(turn["gen_ai.output.messages"])
    assert (said["role"], said["finish_reason"]) == ("assistant", "tool_calls")
    assert said["parts"][1] == {
        "type": "tool_call",
        "id": SECRET,
        "name": SECRET,
        "arguments": {SECRET: SECRET},
    }
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {SECRET: SECRET}
    assert tool["gen_ai.tool.call.result"] == SECRET


def test_what_is_shown_can_be_redacted():
    seen = Seen(capture_content=True, redact=lambda text: text.replace("hunter2", "***"))
    a_talkative_run(seen)
    shown = everything_shown(seen)
    assert "hunter2" not in shown
    assert "*** is the password" in shown


def test_no_more_runs_are_followed_than_there_is_room_for():
    seen = Seen(max_open=2)
    for number in range(5):
        seen.play(f"r{number}", started(START + number))
    assert list(seen.observer._open) == ["r3", "r4"]
    assert len(seen.observer._before) == 2
    assert [seconds(span) for span in seen.named("invoke_agent")] == [(0, 0), (1, 1), (2, 2)]
    seen.observer.close()
    assert len(seen.named("invoke_agent")) == 5


async def test_a_run_is_shown_below_what_its_caller_is_doing(runner_of):
    seen = Seen()
    with seen.tracers.get_tracer("test").start_as_current_span("request") as request:
        await runner_of([answer("hi")], observers=[seen.observer]).run("hi")
    assert seen.one("invoke_agent").parent.span_id == request.get_span_context().span_id


async def test_the_run_of_a_sub_agent_is_shown_below_its_caller(runner_of):
    seen = Seen()
    agent = SubAgent(name="reader", description="Reads.", model=ScriptedModel([answer("deep")]))
    runner = runner_of(
        [call("reader", {"task": "t"}), answer("x")], agents=[agent], observers=[seen.observer]
    )
    await runner.run("go")
    caller, below = seen.one("invoke_agent"), seen.one("invoke_agent reader")
    assert below.parent.span_id == caller.context.span_id
    assert below.attributes["gen_ai.agent.name"] == "reader"
    assert seen.one("execute_tool reader").parent.span_id == caller.context.span_id


async def test_without_an_sdk_nothing_happens(runner_of):
    observer = TelemetryObserver(capture_content=True)
    assert not trace.get_current_span().is_recording()
    state = await runner_of([call("a"), answer("x")], {"a": str}, observers=[observer]).run("go")
    assert state.phase is Phase.DONE


def test_the_core_does_not_import_opentelemetry():
    code = "import sys, agent_core; from agent_core import Runner; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_span_of_a_golden_journal_ends_within_its_root(path):
    seen = Seen(capture_content=True)
    seen.play("r", *(codec.decode(line) for line in path.read_bytes().splitlines()))
    assert not seen.observer._open
    roots = {span.context.span_id: span for span in seen.spans if span.name == "invoke_agent"}
    turns = [span for span in seen.spans if span.name.startswith("chat")]
    assert turns or "cancelled" in path.stem
    for span in seen.spans:
        root = roots.get(span.parent.span_id) if span.parent else span
        if root is not None:
            assert root.start_time <= span.start_time <= span.end_time <= root.end_time


def test_any_event_can_be_the_first_that_is_seen(samples):
    for event in samples.values():
        seen = Seen(capture_content=True)
        state = RunState(run_id="r", phase=Phase.DONE, seq=9)
        seen.observer.on_event(StoredEvent(run_id="r", seq=9, event=event, writer="w"), state)
        assert len(seen.named("invoke_agent")) == 1
