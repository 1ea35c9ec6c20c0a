"""Measures agent-skills: dispatch in process, import, the listing of many schemas, the ranking of requests.

uv run python bench/skills.py [--json]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from figures import Figure, print_figures

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall
from agent_skills import SkillRegistry, SkillRunner, hookimpl, skill
from agent_skills.builtin import BuiltinSettings, register_builtins
from agent_skills.routing import SimilarityRouter

CALLS = 5_000
SKILLS = 200
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


def cpu_ms(code):
    """CPU milliseconds of a fresh interpreter running `code`, the best of seven."""
    script = f"{code}\nimport resource; u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime)"
    runs = (subprocess.run([sys.executable, "-c", script], capture_output=True, check=True) for _ in range(7))
    return min(float(run.stdout) for run in runs) * 1e3


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
    """Milliseconds to make so many skills of functions, schemas included, and to offer them once."""
    started = time.perf_counter()
    runner = SkillRunner(registry_of(*(make(number) for number in range(SKILLS))))
    offers = anyio.run(runner.specs, "anything")
    assert len(offers) == SKILLS
    return (time.perf_counter() - started) * 1e3


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
    yield Figure("skills.dispatch.async.p50", anyio.run(dispatch_us, "echo", CALLS), "us", "<= 30")
    thread = anyio.run(dispatch_us, "blocking_echo", CALLS // 5)
    yield Figure("skills.dispatch.thread.p50", thread, "us", "<= 100", {"bare anyio.to_thread": 64})
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
