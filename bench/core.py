"""What the machine costs: importing it, a run, a transition, a step late in a long run, many runs at once, an idle one.

python bench/core.py [--json] [--peers]

`--peers` measures the same work in other frameworks, in turn with ours (minutes; the first time it installs them);
without it their values are those recorded earlier on another day. A peer is *bare*, a model and a tool and nothing else,
or it has a *history, policy and observer*, each of its own kind (`peers/<peer>.py` says which); ours has all of them
always, and a journal.
"""

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from itertools import pairwise

import anyio
from figures import Figure, print_figures
from peers.comparison import EQUIPPED_RUN, compare
from peers.environments import OURS, Environments

from agent_core import Limits, Runner, StoredEvent, ToolCall, codec, replay, user
from agent_core import events as ev
from agent_core.messages import Text, Usage
from agent_core.snapshot import pack
from agent_core.state import Phase
from agent_core.testing import (
    InMemoryJournal,
    NoMemory,
    ScriptedModel,
    ScriptedTools,
    SequentialIds,
    answer,
    call,
)
from agent_core.tools import Label, ToolSpec
from agent_core.transitions import evolve

RECORDED = {
    "run": {
        "Microsoft Agent Framework": 266,
        "Agno": 460,
        "LangGraph": "978 to 2749",
        "OpenAI Agents": 2175,
        "pydantic-ai": 3756,
    },
    "equipped_run": {
        "Microsoft Agent Framework": 401,
        "Agno": 1386,
        "LangGraph": "1744 to 5764",
        "OpenAI Agents": 2546,
        "pydantic-ai": 4125,
    },
    "steps": {
        "Agno": 0.9,
        "LangGraph": "0.9 to 1.0",
        "Agent Framework": 1.6,
        "OpenAI Agents": 5.7,
        "pydantic-ai": 2.2,
    },
    "import": {"Microsoft Agent Framework": 121, "Agno": 289, "LangGraph": "627 to 705", "pydantic-ai": 500},
    "many_s": {"Microsoft Agent Framework": 5.8, "Agno": 6.7},
    "many_mb": {"Agno": 228, "Microsoft Agent Framework": 244},
}
"""What `--peers` measured on 2026-11-22 on two shared cores, for runs that do not measure them anew."""
BYTES_PEERS_KB = {"LangGraph SQLite": 40_000, "opt-in": 700}
ROUNDS = 7
LONG, SHORT = 200, 10
COMPARED = {
    "run_us": ("one-tool run, peers bare, CPU", "us"),
    EQUIPPED_RUN: ("one-tool run, peers with history, policy and observer, CPU", "us"),
    "step_10_us": ("a step at 10 tool calls, CPU", "us"),
    "step_200_us": ("a step at 200 tool calls, CPU", "us"),
    "many_1000_cpu_s": ("1,000 concurrent runs, CPU", "s"),
    "many_1000_mb": ("1,000 concurrent runs, memory", "MB"),
    "many_10000_cpu_s": ("10,000 concurrent runs, CPU", "s"),
    "many_10000_mb": ("10,000 concurrent runs, memory", "MB"),
    "import_ms": ("import and build an agent, CPU", "ms"),
    "import_mb": ("memory after that import", "MB"),
}


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


def runner_of(replies, *, observers=(), tools=None, journal=None):
    return Runner(
        model=ScriptedModel(replies),
        tools=tools or ScriptedTools({"add": lambda a, b: str(a + b)}),
        memory=NoMemory(),
        journal=journal or InMemoryJournal(),
        ids=SequentialIds(),
        observers=observers,
    )


def one_tool_run_us(environments):
    """CPU microseconds of a run with one tool call: start, context, two turns, the tool, its verdict, the outcome.

    In processes of its own: see `peers/ours.py`.
    """
    return min(environments.measure(OURS, "run")["run_us"] for _ in range(3))


def journal_of(calls):
    """The events of a run that calls `calls` tools, one a turn, with texts of a usual length, as a runner writes them."""
    at = 1_763_800_000.123
    usage = Usage(input_tokens=412, output_tokens=23)
    yield ev.RunStarted(
        at=at, run_id="run_1", session_id="session_1", input=user("What is in my files?"), model="local:m"
    )
    yield ev.ContextHydrated(at=at)
    for turn in range(1, calls + 1):
        key = f"call_{turn}"
        tool_call = ToolCall(tool_call_id=key, name="read_file", arguments={"path": f"notes/{turn}.md"})
        yield ev.ToolsCalled(at=at + turn, parts=(tool_call,), model="m" if turn == 1 else "", usage=usage)
        yield ev.ToolReturned(at=at + turn, tool_call_id=key, content="Buy milk and bread.")
        yield ev.ResultsAccepted()
    yield ev.ModelAnswered(at=at + calls, parts=(Text(text="Shopping lists, mostly."),), usage=usage)
    yield ev.AnswerAccepted()
    yield ev.OutcomeStored(at=at + calls)


ONE_TOOL = [codec.encode(event) for event in journal_of(1)]


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
    script = [call("add", {"a": number, "b": 2}) for number in range(calls)] + [answer("done")]
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
            return call("add", {"a": len(times), "b": 2}) if len(times) <= LONG else answer("done")

        await runner_of([reply], observers=[Watcher()]).run("go", limits=Limits(turns=None, tool_calls=None))
        steps = [after - before for before, after in pairwise(times)]
        ratios.append(statistics.median(steps[-20:]) / statistics.median(steps[5:25]))
    return statistics.median(ratios)


class EncodedJournal(InMemoryJournal):
    """Keeps lines, as a journal on disk does, so that reading one costs its decoding."""

    def __init__(self, run_id, events):
        super().__init__()
        self.lines = {run_id: [codec.encode(event) for event in events]}

    async def read(self, run_id, after=0):
        for seq, line in enumerate(self.lines[run_id][after:], start=after + 1):
            yield StoredEvent(run_id=run_id, seq=seq, event=codec.decode(line), writer="writer")


async def resume_ms():
    """Milliseconds of loading a run of 200 events from its encoded journal."""
    events = list(journal_of(LONG))[:LONG]
    runner = runner_of([answer("done")], journal=EncodedJournal("run_1", events))
    times = []
    for _ in range(5 * ROUNDS):
        started = time.perf_counter()
        await runner.load("run_1")
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def waiting_lines(run_id):
    """The ten small events, encoded, of a run that called two tools and waits for a person to allow a third."""
    called = [event for event in journal_of(3) if isinstance(event, ev.ToolsCalled | ev.ToolReturned)]
    started = ev.RunStarted(
        at=1_763_800_000.123, run_id=run_id, session_id=f"session_{run_id}", input=user("Tidy up."), model="m"
    )
    asked = ev.ApprovalRequested(at=started.at, tool_call_id="call_3", reason="read_file needs your yes")
    judged = ev.ResultsAccepted()
    events = [
        started,
        ev.ContextHydrated(at=started.at),
        *called[:2],
        judged,
        *called[2:4],
        judged,
        called[4],
    ]
    return [codec.encode(event) for event in (*events, asked)]


def bytes_each(make, count=10_000):
    """Bytes that one of so many results of `make(run_id)` holds in memory."""
    kept = [None] * count
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(count):
        kept[index] = make(f"run_{index}")
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held / count


def idle_state(run_id):
    state = replay(run_id, map(codec.decode, waiting_lines(run_id)))
    if state.phase is not Phase.AWAITING or state.seq != SHORT:
        raise SystemExit(f"after {state.seq} events the run is {state.phase}")
    return state


def answered_state(_):
    """A session whose run called one tool and answered."""
    return replay("run_1", map(codec.decode, ONE_TOOL))


async def idle_tasks(count=1_000):
    """Tasks of the event loop, this one aside, while so many runs wait for a person."""
    spec = ToolSpec(name="wipe", description="", parameters={"type": "object"}, labels=(Label.DESTROYS,))
    runner = runner_of([lambda _: call("wipe")], tools=ScriptedTools({}, specs=[spec]))
    states = [await runner.run("Wipe it.") for _ in range(count)]
    if any(state.phase is not Phase.AWAITING for state in states):
        raise SystemExit("a run does not wait")
    return len(asyncio.all_tasks()) - 1


def machine_figures(environments, peers):
    """The machine itself: importing it, a run, a transition, a step, resuming."""
    journal_kb = sum(len(codec.encode(event)) + 1 for event in journal_of(LONG)) / 1_000
    core, runner = (import_cpu_ms(what) for what in ("import agent_core", "from agent_core import Runner"))
    run_us = one_tool_run_us(environments)
    return [
        Figure("import agent_core, CPU", core, "ms", "<= 40", peers["import"]),
        Figure("import the runner too, CPU", runner, "ms", "<= 40", peers["import"]),
        Figure("run with one tool call, peers bare, CPU", run_us, "us", "<= 60", peers["run"]),
        Figure(
            "run with one tool call, peers with history, policy and observer, CPU",
            run_us,
            "us",
            "<= 60",
            peers["equipped_run"],
        ),
        Figure("transition", best(lambda: transition_us(encoded=False)), "us", "<= 3"),
        Figure("transition and encoding", best(lambda: transition_us(encoded=True)), "us", "<= 6"),
        Figure("decode and replay an event", best(replay_us), "us", "<= 5"),
        Figure("journal of a 200-tool run", journal_kb, "KB", "<= 60", BYTES_PEERS_KB),
        Figure("a step at 200 / at 10", anyio.run(step_ratio), "", "<= 1.1", peers["steps"]),
        Figure("a late step of 200 / an early one", anyio.run(late_step_ratio), "", "<= 1.1", peers["steps"]),
        Figure("resume a run of 200 events", anyio.run(resume_ms), "ms", "<= 5"),
    ]


def density_figures(environments, peers):
    """Many runs at once, and runs that wait for a person."""
    many = environments.measure(OURS, "many", "10000")

    def journal(run_id):
        return b"\n".join(waiting_lines(run_id))

    return [
        Figure("10,000 concurrent runs, CPU", many["many_10000_cpu_s"], "s", "<= 1.5", peers["many_s"]),
        Figure("10,000 concurrent runs, memory", many["many_10000_mb"], "MB", "<= 80", peers["many_mb"]),
        Figure("idle session, one tool called, live", bytes_each(answered_state), "bytes", "<= 3000"),
        Figure("idle session, three called and one asked for, live", bytes_each(idle_state), "bytes"),
        Figure("idle session, its journal", bytes_each(journal), "bytes"),
        Figure("idle session, hibernated", bytes_each(lambda run: pack(idle_state(run))), "bytes", "<= 700"),
        Figure("tasks while 1,000 runs wait", anyio.run(idle_tasks), "", "0"),
    ]


def measured(found):
    """The peers' values in the place of `RECORDED`."""
    early, late = found.theirs["step_10_us"], found.theirs["step_200_us"]
    return {
        "run": found.values("run_us"),
        "equipped_run": found.values(EQUIPPED_RUN),
        "steps": {name: round(min(late[name]) / min(early[name]), 2) for name in late},
        "import": found.values("import_ms"),
        "many_s": found.values("many_10000_cpu_s"),
        "many_mb": found.values("many_10000_mb"),
    }


def beside_peers(found):
    """Ours and the peers' in the same minutes, and by how much the best of them is behind."""
    keys = [key for key in COMPARED if found.theirs[key]]
    for key in keys:
        name, unit = COMPARED[key]
        yield Figure(f"{name}, beside peers", found.our(key), unit, "", found.values(key))
    for key in keys:
        ratio, ratios = found.best_ratio(key)
        target = ">= 10" if key in {"run_us", EQUIPPED_RUN} else "> 1"
        yield Figure(f"{COMPARED[key][0]}: best peer / ours", ratio, "", target, ratios)


def main():
    peers, beside = RECORDED, []
    if "--peers" in sys.argv[1:]:
        found = compare()
        peers, beside = measured(found), list(beside_peers(found))
    with Environments() as environments:
        figures = machine_figures(environments, peers) + density_figures(environments, peers)
    load = Figure("load average of the last minute", os.getloadavg()[0], "")
    print_figures([*figures, *beside, load])


if __name__ == "__main__":
    main()
