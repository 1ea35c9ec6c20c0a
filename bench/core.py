"""What the machine costs: importing it, one run, one transition, a replay, and a step late in a long run.

python bench/core.py [--json]
"""

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

import anyio
from figures import Figure, print_figures

from agent_core import Limits, Runner, ToolCall, ToolResult, codec, replay, user
from agent_core import events as ev
from agent_core.messages import Message, Usage, assistant
from agent_core.testing import (
    InMemoryJournal,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    answer,
    call,
)
from agent_core.transitions import evolve

RUN_PEERS_US = {
    "Microsoft Agent Framework": 676,
    "Agno": 857,
    "LangGraph": "1857 to 5361",
    "pydantic-ai": 5551,
}
STEP_PEERS = {"LangGraph graph": 1.0, "pydantic-ai, OpenAI Agents": "3.4 to 6"}
BYTES_PEERS_KB = {"LangGraph SQLite": 40_000, "opt-in": 700}
IMPORT_PEERS_MS = {"frameworks": "26 to 2012"}
RUNS = 300
ROUNDS = 7
LONG, SHORT = 200, 10


def best(measure):
    """The smallest of several rounds: what is over it is the neighbours' noise."""
    gc.collect()
    return min(measure() for _ in range(ROUNDS))


def import_cpu_ms(statement):
    """CPU milliseconds of `statement` in a fresh process whose bytecode is cached."""
    code = f"import time; t = time.process_time(); {statement}; print((time.process_time() - t) * 1e3)"
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, "-c", code]
        times = [
            float(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
            for _ in range(10)
        ]
    return min(times[1:])


class Watcher:
    def on_event(self, stored, state):
        pass

    def on_delta(self, run_id, delta):
        pass


def runner_of(replies, *, observers=()):
    return Runner(
        model=ScriptedModel(replies),
        tools=ScriptedTools({"add": lambda a, b: str(a + b)}),
        memory=NoMemory(),
        journal=InMemoryJournal(),
        ids=SequentialIds(),
        observers=observers,
    )


async def one_tool_run_us():
    """CPU microseconds of a run with one tool call: start, context, two turns, the tool, its verdict, the outcome."""

    def reply(request):
        if request.messages[-1].role == "tool":
            return answer("It is 42.")
        return call("add", {"a": 19, "b": 23})

    runner = runner_of([reply], observers=[Watcher()])
    started = time.process_time()
    for _ in range(RUNS):
        await runner.run("What is 19 + 23?")
        runner.memory.remembered.clear()
        runner.model.requests.clear()
    return (time.process_time() - started) / RUNS * 1e6


def journal_of(calls):
    """The events of a run that calls `calls` tools, one a turn, with texts of a usual length."""
    at = 1_763_800_000.123
    usage = Usage(input_tokens=412, output_tokens=23)
    yield ev.RunStarted(
        at=at, run_id="run_1", session_id="session_1", input=user("What is in my files?"), model="local:m"
    )
    yield ev.ContextHydrated(at=at)
    for turn in range(1, calls + 1):
        key = f"call_{turn}"
        tool_call = ToolCall(tool_call_id=key, name="read_file", arguments={"path": f"notes/{turn}.md"})
        message = Message(role="assistant", parts=(tool_call,))
        yield ev.ToolsCalled(at=at + turn, message=message, model="m", usage=usage)
        yield ev.ToolReturned(
            at=at + turn, result=ToolResult(tool_call_id=key, content="Buy milk and bread.")
        )
        yield ev.ResultsAccepted(at=at + turn)
    yield ev.ModelAnswered(at=at, message=assistant("Shopping lists, mostly."), model="m", usage=usage)
    yield ev.AnswerAccepted(at=at)
    yield ev.OutcomeStored(at=at)


def transition_us(*, encoded):
    """Microseconds of one `evolve` on the way through a run with ten tools, with or without its encoding."""
    events = list(journal_of(SHORT))
    first = evolve(replay("run_1", []), events[0])
    started = time.perf_counter()
    for _ in range(50):
        state = first
        for event in events[1:]:
            state = evolve(state, event)
            if encoded:
                codec.encode(event)
    return (time.perf_counter() - started) / 50 / (len(events) - 1) * 1e6


def replay_us():
    """Microseconds an event of decoding and replaying the journal of a long run."""
    lines = [codec.encode(event) for event in journal_of(LONG)]
    started = time.perf_counter()
    replay("run_1", map(codec.decode, lines))
    return (time.perf_counter() - started) / len(lines) * 1e6


async def step_us(calls, observers):
    """CPU microseconds a step of runs that call `calls` tools, one a turn."""
    script = [call("add", {"a": 1, "b": 2})] * calls + [answer("done")]
    runs = LONG // calls
    started = time.process_time()
    for _ in range(runs):
        await runner_of(script, observers=observers).run("go", limits=Limits(turns=None, tool_calls=None))
    return (time.process_time() - started) / runs / calls * 1e6


async def step_ratio():
    """What a step costs in a run with 200 tools, divided by what it costs in runs with 10."""
    ratios = [await step_us(LONG, ()) / await step_us(SHORT, ()) for _ in range(3 * ROUNDS)]
    return statistics.median(ratios)


async def late_step_ratio():
    """What a turn costs at the end of a run with 200 tools, observed, divided by one at its beginning."""
    ratios = []
    for _ in range(3 * ROUNDS):
        times = []

        def reply(_, times=times):
            times.append(time.process_time())
            return call("add", {"a": 1, "b": 2}) if len(times) <= LONG else answer("done")

        await runner_of([reply], observers=[Watcher()]).run("go", limits=Limits(turns=None, tool_calls=None))
        steps = [after - before for before, after in pairwise(times)]
        ratios.append(statistics.median(steps[-20:]) / statistics.median(steps[5:25]))
    return statistics.median(ratios)


def main():
    journal_kb = sum(len(codec.encode(event)) + 1 for event in journal_of(LONG)) / 1_000
    run_us = min(anyio.run(one_tool_run_us) for _ in range(ROUNDS))
    print_figures(
        [
            Figure(
                "import agent_core, CPU", import_cpu_ms("import agent_core"), "ms", "<= 40", IMPORT_PEERS_MS
            ),
            Figure(
                "import the runner too, CPU",
                import_cpu_ms("from agent_core import Runner"),
                "ms",
                "<= 40",
                IMPORT_PEERS_MS,
            ),
            Figure("run with one tool call, CPU", run_us, "us", "<= 60", RUN_PEERS_US),
            Figure("transition", best(lambda: transition_us(encoded=False)), "us", "<= 3"),
            Figure("transition and encoding", best(lambda: transition_us(encoded=True)), "us", "<= 6"),
            Figure("decode and replay an event", best(replay_us), "us"),
            Figure("journal of a 200-tool run", journal_kb, "KB", "<= 60", BYTES_PEERS_KB),
            Figure("a step at 200 / at 10", anyio.run(step_ratio), "", "<= 1.1", STEP_PEERS),
            Figure("a late step of 200 / an early one", anyio.run(late_step_ratio), "", "<= 1.1", STEP_PEERS),
        ]
    )


if __name__ == "__main__":
    main()
