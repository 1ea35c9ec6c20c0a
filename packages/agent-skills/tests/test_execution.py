"""Twenty ways a call can go wrong, in this process and in a worker: each is a result, and the next call works."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import anyio
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, ToolCall
from agent_skills import (
    Budget,
    Grant,
    Grants,
    Level,
    PluginEntry,
    Progress,
    SkillRegistry,
    SkillRunner,
    hookimpl,
    load_plugins,
    skill,
)
from agent_skills.isolation import pool as pool_module
from agent_skills.isolation import process

PLUGINS = Path(__file__).parent / "plugins"
CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
ENTRY = PluginEntry(name="odd", target="odd_jobs", distribution="odd-jobs 1.0")


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS))
    yield
    for name in ("odd_jobs", "odd_sandboxed"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """The plugin is looked at once for all tests."""
    from agent_skills import PluginIndex

    return PluginIndex(tmp_path_factory.mktemp("index") / "plugins.json")


@pytest.fixture
async def open_runner(manifest):
    opened = []

    def open_runner(where="worker", **options):
        registry = SkillRegistry()
        trust = {"odd"} if where == "here" else set()
        load_plugins(registry, [ENTRY], strict=True, trust=trust, index=manifest)
        opened.append(SkillRunner(registry, **options))
        return opened[-1]

    yield open_runner
    for runner in opened:
        await runner.aclose()
        await runner.aclose()


async def call(runner, name="odd_echo", *, run_id="r", **arguments):
    made = ToolCall(tool_call_id="c", name=name, arguments=arguments or {})
    return await runner.run(made, ToolContext(run_id=run_id, session_id="s", idempotency_key="k"))


async def works(runner):
    """The runner still does its work."""
    result = await call(runner, text="ab", times=2)
    assert (result.content, result.error, result.labels) == ("abab", "", (Label.READS_PRIVATE,))
    return True


WHERE = pytest.mark.parametrize("where", ["here", "worker"])


@WHERE
async def test_what_works_works_the_same_in_both_places(open_runner, where):
    runner = open_runner(where)
    assert await works(runner)
    result = await call(runner, "order", wanted={"count": "3", "colour": "blue"})
    assert result.content == '{"count":3,"colour":"blue","run":"r"}'
    assert (await call(runner, "odd_async", a=1)).content == "2"
    assert "odd_jobs" in sys.modules if where == "here" else "odd_jobs" not in sys.modules


@WHERE
async def test_progress_is_told_and_the_last_is_the_result(open_runner, where):
    seen = []
    runner = open_runner(where, on_progress=lambda *step: seen.append(step))
    assert (await call(runner, "in_steps", count=2)).content == "2 steps"
    assert seen == [("r", "c", Progress(text=f"step {n}", done=n, total=2)) for n in range(2)]


FAILURES = [
    ("odd_echo", {"text": 1}, "invalid_arguments", "Expected `str`, got `int` at $.text. They must fit"),
    ("order", {"wanted": {"count": 1, "colour": "green"}}, "invalid_arguments", "at $.wanted.colour"),
    ("misbehave", {"how": "fail"}, "locked", "the door is locked"),
    ("misbehave", {"how": "crash"}, "skill_crashed", "internal error (ValueError)"),
    ("misbehave", {"how": "exit"}, "skill_crashed", "internal error (SystemExit)"),
    ("misbehave", {"how": "odd"}, "unreadable_result", "returned a object"),
    ("take_for_ever", {"how": "hang"}, "timeout", "within 0.3 s"),
]
FAILURES_OF_WORKERS = [
    ("misbehave", {"how": "kill"}, "worker_died", "SIGKILL"),
    ("misbehave", {"how": "abort"}, "worker_died", "SIGABRT"),
    ("take_for_ever", {"how": "spin"}, "timeout", "within 0.3 s"),
]


@WHERE
@pytest.mark.parametrize("case", FAILURES, ids=str)
async def test_a_failure_is_a_result_and_the_next_call_works(open_runner, where, case, caplog):
    name, arguments, code, words = case
    runner = open_runner(where)
    with caplog.at_level(logging.ERROR):
        result = await call(runner, name, **arguments)
    assert (result.error, words in result.content) == (code, True), result
    assert "hunter2" not in result.content
    assert "Traceback" not in result.content
    assert await works(runner)


@pytest.mark.parametrize("case", FAILURES_OF_WORKERS, ids=str)
async def test_what_would_end_the_host_ends_a_worker(open_runner, case):
    name, arguments, code, words = case
    runner = open_runner()
    result = await call(runner, name, **arguments)
    assert (result.error, words in result.content) == (code, True), result
    assert await works(runner)


async def test_what_a_worker_logs_of_a_crash_is_kept_from_the_model(open_runner, caplog):
    with caplog.at_level(logging.ERROR):
        await call(open_runner(), "misbehave", how="crash")
    assert "hunter2" in caplog.text


@WHERE
async def test_a_flood_is_cut(open_runner, where):
    result = await call(open_runner(where, max_result_chars=1_000), "misbehave", how="flood")
    assert len(result.content) < 1_100
    assert "[cut: the result has 50,000,000 characters" in result.content


async def test_a_worker_that_ignores_the_limit_is_ended(open_runner, monkeypatch):
    monkeypatch.setattr(process, "MAX_ANSWER_BYTES", 10_000)
    runner = open_runner()
    result = await call(runner, "misbehave", how="flood")
    assert (result.error, "more than 10,000 bytes" in result.content) == ("worker_died", True)


async def test_what_a_skill_prints_harms_nobody(open_runner):
    runner = open_runner()
    assert (await call(runner, "misbehave", how="print")).content == "printed"
    assert await works(runner)


async def test_threads_left_behind_in_a_worker_harm_nobody(open_runner):
    runner = open_runner()
    assert (await call(runner, "misbehave", how="threads")).content == "started"
    assert await works(runner)


@WHERE
async def test_a_failing_sibling_costs_nobody_the_result(open_runner, where):
    runner = open_runner(where)
    results = await asyncio.gather(
        *(call(runner, "crash") if n % 2 else call(runner, text=str(n)) for n in range(6))
    )
    assert [result.content for result in results[::2]] == ["0", "2", "4"]
    assert {result.error for result in results[1::2]} == {"skill_crashed"}


async def test_a_queue_that_is_full_is_busy(open_runner, monkeypatch):
    monkeypatch.setattr(pool_module, "MAX_WAITING", 1)
    runner = open_runner()
    await works(runner)
    waiting = [asyncio.ensure_future(call(runner, "take_for_ever", how="hang")) for _ in range(8)]
    results = await asyncio.gather(*waiting)
    assert {result.error for result in results} <= {"timeout", "busy"}
    assert [result.retryable for result in results if result.error == "busy"]
    assert await works(runner)


@WHERE
async def test_a_call_cancelled_twice_is_over_once(open_runner, where, tmp_path):
    runner = open_runner(where)
    task = asyncio.ensure_future(call(runner, "wait_for", path=str(tmp_path / "go")))
    await asyncio.sleep(0.05)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (tmp_path / "go").touch()  # a thread that was left behind ends
    assert await works(runner)


class Narrow:
    """A plugin with one skill, of which two calls may run; they do not end before they are let go."""

    def __init__(self, timeout_s):
        self.go = anyio.Event()
        self.running = self.most = self.begun = 0
        self.skill = skill(name="narrow", concurrency=2, timeout_s=timeout_s)(self.hold)

    async def hold(self) -> str:
        """Hold a place."""
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        with anyio.CancelScope(shield=True):
            await self.go.wait()
        self.running -= 1
        return "done"

    @hookimpl
    def register_skills(self, register):
        register(self.skill)


@pytest.mark.parametrize("timeout_s", [60, 0.1], ids=["patient", "brief"])
async def test_concurrency_is_held_and_waiting_counts_towards_the_deadline(timeout_s):
    plugin = Narrow(timeout_s)
    registry = SkillRegistry()
    registry.register("narrow", plugin)
    runner = SkillRunner(registry)
    calls = [asyncio.ensure_future(call(runner, "narrow")) for _ in range(6)]
    if timeout_s < 1:
        assert {(await waited).error for waited in calls[2:]} == {"timeout"}
    else:
        await asyncio.sleep(0.05)
    assert plugin.begun == 2
    plugin.go.set()
    results = await asyncio.gather(*calls)
    assert plugin.most == 2
    if timeout_s > 1:
        assert {result.content for result in results} == {"done"}


@WHERE
async def test_a_plugin_is_drained_and_what_runs_goes_on(open_runner, where):
    runner = open_runner(where)
    slow = asyncio.ensure_future(call(runner, "take_for_ever", how="hang"))
    await asyncio.sleep(0.1)
    with anyio.fail_after(60):
        await runner.drain("odd")
    assert slow.done()
    assert (await call(runner, text="a")).error == "unknown_tool"


# ── what the operator grants ─────────────────────────────────────────────────────────────────────────────────────


@WHERE
async def test_a_secret_is_given_by_name_and_masked(open_runner, where, monkeypatch):
    monkeypatch.setenv("AGENT_SECRET_ODD_KEY", "hunter22")
    grants = Grants(plugins={"odd": Grant(secrets=("odd_key",))})
    result = await call(open_runner(where, grants=grants), "use_secret")
    here = "[secret odd_key]" if where == "here" else "None"
    assert result.content == f"given [secret odd_key], environment {here}, shown <secrets odd_key>"


async def test_a_secret_that_is_not_granted_or_not_set_is_refused(open_runner):
    result = await call(open_runner(), "use_secret")
    assert (result.error, "not granted to the plugin 'odd'" in result.content) == ("not_granted", True)
    grants = Grants(plugins={"odd": Grant(secrets=("odd_key",))})
    result = await call(open_runner(grants=grants, secrets=lambda _: None), "use_secret")
    assert result.error == "secret_missing"


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ((), "not_granted"),
        (("example.org",), "not_granted"),
        (("*.example.org",), ""),
        (("api.example.org",), ""),
        (("*",), ""),
    ],
)
async def test_a_host_that_is_not_granted_is_refused(open_runner, hosts, error):
    grants = Grants(plugins={"odd": Grant(hosts=hosts)})
    assert (await call(open_runner(grants=grants), "call_out")).error == error


def test_a_sandbox_is_given_the_hosts_that_are_granted_and_no_other():
    grants = Grants(plugins={"odd": Grant(hosts=("api.example.org",), level=Level.SANDBOX)})
    assert grants.room("odd").egress.hosts == ("api.example.org",)
    assert not grants.room("other").egress.hosts


BUDGETS = [
    (Budget(calls=2), "2 calls"),
    (Budget(result_chars=3), "3 characters"),
]


@pytest.mark.parametrize(("budget", "words"), BUDGETS)
@pytest.mark.parametrize("of_run", [True, False])
async def test_a_budget_ends_with_its_run(open_runner, budget, words, of_run):
    plugins = {} if of_run else {"odd": Grant(budget=budget)}
    grants = Grants(per_run=budget, plugins=plugins) if of_run else Grants(plugins=plugins)
    runner = open_runner("here", grants=grants)
    results = [await call(runner, text="ab") for _ in range(3)]
    assert results[-1].error == "budget_spent"
    assert words in results[-1].content
    assert not (await call(runner, text="ab", run_id="another")).error


async def test_a_result_is_cut_where_the_budget_ends(open_runner):
    runner = open_runner("here", grants=Grants(per_run=Budget(result_chars=3)))
    assert (await call(runner, text="ab")).content == "ab"
    assert (await call(runner, text="ab")).content.startswith("a\n[cut: the result has 2 characters")
    assert (await call(runner, text="ab")).error == "budget_spent"


@pytest.mark.parametrize("of_run", [True, False])
async def test_a_call_is_stopped_where_the_seconds_of_its_run_end(open_runner, of_run, tmp_path):
    """Long before its own deadline; what it had spent counts, and another run has seconds of its own."""
    budget, path = Budget(run_s=0.2), tmp_path / "there"
    grants = Grants(per_run=budget) if of_run else Grants(plugins={"odd": Grant(budget=budget)})
    runner = open_runner("here", grants=grants)
    why = "wait_for was stopped: the seconds that tools may take in this run are used up"
    with anyio.fail_after(20):
        stopped = await call(runner, "wait_for", path=str(path))
        assert (stopped.error, stopped.content) == ("budget_spent", why)
        refused = await call(runner, "wait_for", path=str(path))
        assert (refused.error, "may use 0.2 s" in refused.content) == ("budget_spent", True)
        path.touch()  # a thread cannot be stopped: it waits no more
        assert (await call(runner, "wait_for", run_id="another", path=str(path))).content == "waited"


async def test_the_operator_puts_a_wall_around_a_trusted_plugin(open_runner):
    grants = Grants(plugins={"odd": Grant(level=Level.WORKER)})
    result = await call(open_runner("here", grants=grants), "misbehave", how="pid")
    assert int(result.content) != os.getpid()
