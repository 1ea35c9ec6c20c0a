"""Measures agent-skills: calls at every level of isolation, deadlines, import, discovery, schemas, search and ranking.

    uv run python bench/skills.py [--json] [--peers]

`--peers` measures the same call in LangChain, OpenAI Agents and FastMCP, each in an environment of its own; without it
their values are those recorded earlier on another day.
"""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from figures import Figure, print_figures
from peers.tool_calls import peers_us
from tool_set import requests, tools

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import (
    Grant,
    Grants,
    Level,
    PluginEntry,
    PluginIndex,
    SkillRegistry,
    SkillRunner,
    find_plugins,
    hookimpl,
    load_plugins,
    probe,
    skill,
)
from agent_skills.builtin import BuiltinSettings, register_builtins
from agent_skills.errors import SkillTimeoutError
from agent_skills.isolation.monty import MontyInterpreter
from agent_skills.isolation.process import WorkerProcess
from agent_skills.isolation.sandbox import Imports, Interpreter, Sandbox, plain
from agent_skills.routing import SimilarityRouter
from agent_skills.tool_search import ToolIndex

# The tutorial plugin is no dependency of anything: it is called from its folder.
sys.path.append(str(Path(__file__).parents[1] / "examples" / "skill-dice" / "src"))

CALLS = 5_000
SKILLS = 200
RECORDED_US = {"LangChain": 176, "OpenAI Agents": 12, "FastMCP": 140}
"""A call in process as `--peers` measured it on 2026-11-22 on two shared cores. None of the three sets a deadline of itself."""
CONTEXT = ToolContext(run_id="run", session_id="session", idempotency_key="key")


@skill
async def echo(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


@skill
def blocking_echo(text: str) -> str:
    """Say it again, in a worker thread."""
    return text


class Plugin:
    def __init__(self, *skills):
        self._skills = skills

    @hookimpl
    def register_skills(self, register):
        for one in self._skills:
            register(one)


def registry_of(*skills):
    registry = SkillRegistry()
    registry.register("bench", Plugin(*skills))
    return registry


async def dispatch_us(name, calls):
    """Microseconds of one call, p50: lookup, validation, deadline, the skill, the result."""
    runner = SkillRunner(registry_of(echo, blocking_echo))
    call = ToolCall(tool_call_id="c", name=name, arguments={"text": "hello"})
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        await runner.run(call, CONTEXT)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


PID = {"function": "os:getpid", "arguments": {}}


def starts():
    """How a worker is started, at the levels that this machine has."""
    levels = anyio.run(probe)
    yield "worker", plain
    if levels.has(Level.SANDBOX):
        confine = levels.sandboxed()
        yield "sandbox", lambda: confine(Sandbox(), Interpreter.own(), Imports())


async def cold_ms(launch, times=15):
    """Milliseconds from nothing to the first answer, p50, and of processor, best: a Python that runs one function."""
    took, cpu = [], []
    for _ in range(times):
        started, before = time.perf_counter(), cpu_s()
        worker = await WorkerProcess.start("bench", launch())
        await worker.ask(PID, timeout_s=10)
        took.append(time.perf_counter() - started)
        await worker.aclose()
        cpu.append(cpu_s() - before)
    return statistics.median(took) * 1e3, min(cpu) * 1e3


def cpu_s():
    """Processor seconds of this process and of all that it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


async def warm_us(launch, calls=CALLS):
    """Microseconds of a call of a warm worker, p50."""
    worker = await WorkerProcess.start("bench", launch())
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        await worker.ask(PID, timeout_s=10)
        took.append(time.perf_counter() - started)
    await worker.aclose()
    return statistics.median(took) * 1e6


async def overshoot_ms(launch, times=50, timeout_s=0.1):
    """Milliseconds by which a deadline is overshot, at worst; the worker is dead by then."""
    worst = 0.0
    for _ in range(times):
        worker = await WorkerProcess.start("bench", launch())
        started = time.perf_counter()
        try:
            await worker.ask({"function": "signal:pause", "arguments": {}}, timeout_s=timeout_s)
        except SkillTimeoutError:
            worst = max(worst, time.perf_counter() - started - timeout_s)
        await worker.aclose()
    return worst * 1e3


async def runner_us(level, calls=2_000):
    """Microseconds of a call through the runner, p50: everything, with the skill behind a wall."""
    levels = await probe()
    registry = SkillRegistry(missing=levels.missing)
    load_plugins(registry, [PluginEntry(name="dice", target="skill_dice", distribution="")], strict=True)
    runner = SkillRunner(registry, levels=levels, grants=Grants(plugins={"dice": Grant(level=level)}))
    call = ToolCall(tool_call_id="c", name="roll_dice", arguments={"count": 2})
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        assert not (await runner.run(call, CONTEXT)).error
        times.append(time.perf_counter() - started)
    await runner.aclose()
    return statistics.median(times) * 1e6


async def snippet_us(calls=500):
    """Microseconds of a snippet in Monty, a session of its own each, p50."""
    interpreter = MontyInterpreter()
    await interpreter.run("1")
    took = []
    for _ in range(calls):
        started = time.perf_counter()
        await interpreter.run("a + 1", inputs={"a": 1})
        took.append(time.perf_counter() - started)
    await interpreter.aclose()
    return statistics.median(took) * 1e6


def discovery_ms(count=SKILLS):
    """Milliseconds to find so many installed plugins, once and with an index that is warm."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        for number in range(count):
            info = site / f"plugin_{number}-1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Name: plugin-{number}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[agent.skills]\nplugin_{number} = plugin_{number}\n")
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found = find_plugins([str(site)], index=PluginIndex(Path(folder) / "index.json"))
            times.append(time.perf_counter() - started)
            assert len(found) == count
    return times[0] * 1e3, min(times[1:]) * 1e3


def search():
    """Recall of the right tool among the first five of a thousand, and milliseconds of a search, p50."""
    index = ToolIndex(tools())
    took, found = [], 0
    asked = list(requests())
    for query, wanted in asked:
        started = time.perf_counter()
        names = [one.name for one in index.search(query, 5)]
        took.append(time.perf_counter() - started)
        found += wanted in names
    return found / len(asked), statistics.median(took) * 1e3


def cpu_ms(code):
    """CPU milliseconds of a fresh interpreter running `code`, the best of seven; what it imports was compiled before."""
    script = f"{code}\nimport resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        command = [sys.executable, "-c", script]
        runs = [subprocess.run(command, env=environment, capture_output=True, check=True) for _ in range(8)]
    return min(float(run.stdout) for run in runs[1:]) * 1e3


def make(number):
    def act(path: str, count: int = 1, names: list[str] | None = None, *, deep: bool = False) -> str:
        """Act on a path, several times if need be.

        Args:
            path: Where to act.
            count: How often.
            names: Of what.
            deep: Also below.
        """
        return f"{path} {count} {names} {deep}"

    return skill(name=f"act_{number}")(act)


def schemas_ms():
    """CPU milliseconds to make so many skills of functions, schemas included, and to offer them once; best of five."""
    took = []
    for _ in range(5):
        started = time.process_time()
        runner = SkillRunner(registry_of(*(make(number) for number in range(SKILLS))))
        offers = anyio.run(runner.specs, "anything")
        assert len(offers) == SKILLS
        took.append(time.process_time() - started)
    return min(took) * 1e3


async def listing_ms():
    """Milliseconds to offer so many skills again."""
    runner = SkillRunner(registry_of(*(make(number) for number in range(SKILLS))))
    await runner.specs("anything")
    started = time.perf_counter()
    for _ in range(20):
        await runner.specs("anything")
    return (time.perf_counter() - started) / 20 * 1e3


REQUESTS = (
    "what is six plus 11",
    "Tom has 14 marbles, Ben has 9 and Ann has 21. How many marbles do they have together?",
    "what time is it in Tokyo?",
    "read notes.txt",
    "which files are in the folder music",
    "tell me something about whales",
)


def make_exemplary(number):
    words = ("paint", "sort", "send", "count", "merge", "print", "check", "move", "fetch", "draw")
    verb, noun = words[number % 10], f"{words[number // 10 % 10]}er{number}"
    texts = (f"{verb} the {noun}", f"please {verb} my {noun} now", f"I want the {noun} to {verb}")

    def act(what: str) -> str:
        """Act."""
        return what

    return skill(name=f"act_{number}", examples=[(text, {"what": noun}) for text in texts])(act)


def ranking_us(skills):
    """Microseconds to rank a request, p50, readers included."""
    router = SimilarityRouter(skills)
    times = []
    for request in REQUESTS * 20:
        started = time.perf_counter()
        router.rank(request)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def ranking_of_builtins_us():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("notes.txt", "plan.md", "music/song.txt"):
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("text")
        registry = SkillRegistry()
        register_builtins(registry, BuiltinSettings.in_folder(Path(folder)))
        return ranking_us(registry.skills())


def measure():
    peers = peers_us() if "--peers" in sys.argv[1:] else RECORDED_US
    yield Figure("skills.dispatch.async.p50", anyio.run(dispatch_us, "echo", CALLS), "us", "<= 30", peers)
    thread = anyio.run(dispatch_us, "blocking_echo", CALLS // 5)
    yield Figure("skills.dispatch.thread.p50", thread, "us", "<= 100", {"bare anyio.to_thread": 64})
    for name, launch in starts():
        cold, warm = ("<= 60", "<= 150") if name == "sandbox" else ("", "<= 100")
        cold_p50, cold_cpu = asyncio.run(cold_ms(launch))
        yield Figure(f"skills.{name}.cold.p50", cold_p50, "ms", cold)
        if name == "worker":  # what dies in a sandbox is counted by nobody
            yield Figure(f"skills.{name}.cold.cpu", cold_cpu, "ms")
        yield Figure(f"skills.{name}.warm.p50", asyncio.run(warm_us(launch)), "us", warm)
        level = Level.SANDBOX if name == "sandbox" else Level.WORKER
        yield Figure(f"skills.{name}.runner.p50", asyncio.run(runner_us(level)), "us", warm)
        yield Figure(f"skills.{name}.overshoot.max", asyncio.run(overshoot_ms(launch)), "ms", "<= 100")
    yield Figure("skills.monty.p50", asyncio.run(snippet_us()), "us", "<= 200")
    first, again = discovery_ms()
    yield Figure(f"skills.discovery.{SKILLS}.first", first, "ms")
    yield Figure(f"skills.discovery.{SKILLS}.warm", again, "ms", "<= 30")
    recall, took_ms = search()
    yield Figure("skills.search.1000.recall@5", recall, "", ">= 0.9")
    yield Figure("skills.search.1000.p50", took_ms, "ms", "<= 5")
    bare = cpu_ms("pass")
    floor = cpu_ms("import msgspec, pluggy, anyio, importlib.metadata") - bare
    yield Figure(
        "skills.import.cpu", cpu_ms("import agent_skills") - bare, "ms", "<= 60", {"its libraries": floor}
    )
    yield Figure(f"skills.schemas.{SKILLS}.first", schemas_ms(), "ms", "<= 70")
    yield Figure(f"skills.schemas.{SKILLS}.again", anyio.run(listing_ms), "ms")
    yield Figure("ranking a request, built-ins, p50", ranking_of_builtins_us(), "us", "<= 10000")
    ranked = ranking_us([make_exemplary(number) for number in range(SKILLS)])
    yield Figure(f"ranking a request, {SKILLS} skills, p50", ranked, "us", "<= 10000")


if __name__ == "__main__":
    print_figures(list(measure()))
