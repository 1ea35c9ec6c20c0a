"""What comes back from calls: results, whatever happens."""

import logging
import threading

import anyio
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import Label, Reading, ToolCall, ToolExample
from agent_skills import Ranked, SkillFailedError, SkillRegistry, SkillRunner, hookimpl, skill
from agent_skills import runner as runner_module
from agent_skills.routing import SimilarityRouter

CONTEXT = ToolContext(run_id="r", session_id="s", idempotency_key="k")
LABELS = [Label.READS_PRIVATE]


@skill(labels=LABELS)
async def echo(text: str, times: int = 1) -> str:
    """Say it again."""
    return text * times


@skill
def which_thread() -> str:
    """Name the thread."""
    return threading.current_thread().name


@skill
def who_asks(context: ToolContext, a: int = 1) -> str:
    """Name the run."""
    return f"{context.run_id} {a}"


@skill(labels=LABELS)
async def fail(kind: str) -> str:
    """Fail."""
    errors = {
        "meant": SkillFailedError("the file is locked", code="locked", retryable=True),
        "plain": SkillFailedError("no"),
        "crash": ValueError("password=hunter2"),
        "exit": SystemExit(1),
        "timeout": TimeoutError("inner"),
    }
    raise errors[kind]


@skill
async def odd() -> object:
    """Return something odd."""
    return object()


@skill(timeout_s=0.02)
async def slow() -> None:
    """Take long."""
    await anyio.sleep_forever()


@skill(timeout_s=0.02, idempotent=True)
async def slow_but_safe() -> None:
    """Take long."""
    await anyio.sleep_forever()


@skill(choices=lambda text: {"word": text.split()}, examples=[("x", {"word": "x"})])
async def choose(word: str) -> str:
    """Choose a word."""
    return word


@skill(choices=lambda _text: 1 / 0, examples=[("an odd one", {"word": "x"})])
async def choose_badly(word: str) -> str:
    """Choose a word."""
    return word


ALL = (echo, which_thread, who_asks, fail, odd, slow, slow_but_safe, choose, choose_badly)


class Plugin:
    def __init__(self, *skills):
        self._skills = skills

    @hookimpl
    def register_skills(self, register):
        for one in self._skills:
            register(one)


@pytest.fixture
def registry():
    registry = SkillRegistry()
    registry.register("tests", Plugin(*ALL))
    return registry


async def call(registry, name, arguments=None, **options):
    made = ToolCall(
        tool_call_id="c1", name=name, arguments=arguments or {}, malformed=options.pop("malformed", "")
    )
    return await SkillRunner(registry, **options).run(made, CONTEXT)


async def test_a_call_returns_text_and_labels(registry):
    result = await call(registry, "echo", {"text": "ab", "times": "2"})
    assert (result.tool_call_id, result.content, result.error) == ("c1", "abab", "")
    assert result.labels == (Label.READS_PRIVATE,)


async def test_sync_skills_run_in_a_thread_and_contexts_are_filled_in(registry):
    assert "MainThread" not in (await call(registry, "which_thread")).content
    assert (await call(registry, "who_asks", {"a": 2})).content == "r 2"


FAILURES = [
    ("nothing", {}, "unknown_tool", False, "there is no tool 'nothing'; there are: echo, which_thread"),
    ("echo", {}, "invalid_arguments", False, "missing required field `text` at $. They must fit"),
    (
        "echo",
        {"text": "a", "times": "b"},
        "invalid_arguments",
        False,
        "Expected `int`, got `str` at $.times.",
    ),
    ("who_asks", {"context": {}}, "invalid_arguments", False, "unknown field `context`"),
    ("fail", {"kind": "meant"}, "locked", True, "the file is locked"),
    ("fail", {"kind": "plain"}, "skill_failed", False, "no"),
    ("fail", {"kind": "crash"}, "skill_crashed", False, "fail failed with an internal error (ValueError)"),
    ("fail", {"kind": "exit"}, "skill_crashed", False, "(SystemExit)"),
    ("fail", {"kind": "timeout"}, "skill_crashed", False, "(TimeoutError)"),
    ("odd", {}, "unreadable_result", False, "odd returned a object"),
    ("slow", {}, "timeout", False, "within 0.02 s"),
    ("slow_but_safe", {}, "timeout", True, "within 0.02 s"),
]


@pytest.mark.parametrize("case", FAILURES)
async def test_failures_are_results(registry, case):
    name, arguments, code, retryable, words = case
    result = await call(registry, name, arguments)
    assert (result.error, result.retryable) == (code, retryable)
    assert words in result.content


async def test_wrong_arguments_come_back_with_the_schema(registry):
    result = await call(registry, "echo", {"text": 1})
    assert '{"type":"object","properties":{"text":{"type":"string"}' in result.content
    assert result.labels == ()


async def test_malformed_arguments_never_reach_the_skill(registry):
    result = await call(registry, "which_thread", malformed='{"a": ')
    assert result.error == "malformed_arguments"


async def test_a_crash_is_logged_and_its_text_is_kept_from_the_model(registry, caplog):
    with caplog.at_level(logging.ERROR):
        result = await call(registry, "fail", {"kind": "crash"})
    assert "hunter2" not in result.content
    assert "hunter2" in caplog.text
    assert result.labels == (Label.READS_PRIVATE,)


async def test_long_results_are_cut(registry):
    result = await call(registry, "echo", {"text": "ab", "times": 100}, max_result_chars=10)
    assert result.content == "ababababab\n[cut: the result has 200 characters, these are the first 10]"


async def test_a_skill_that_went_away_is_unknown(registry):
    runner = SkillRunner(registry)
    assert runner.spec("echo") is echo.spec
    registry.unregister("tests")
    assert runner.spec("echo") is None
    assert await runner.specs("x") == []


async def test_everything_is_offered_and_nothing_proposed(registry):
    offers = await SkillRunner(registry).specs("echo")
    assert [offer.spec for offer in offers] == [one.spec for one in ALL]
    assert not any(offer.proposed or offer.score or offer.readings for offer in offers)


class Pick:
    """A router for tests: proposes the first skill whose name is in the query."""

    built = 0

    def __init__(self, skills):
        type(self).built += 1
        self._names = [one.spec.name for one in skills]

    def rank(self, query):
        shot = (ToolExample(utterance="x", arguments={"word": "x"}),)
        named = [name for name in self._names if name in query.split()]
        return [Ranked(name, 0.9, name == named[0], shot) for name in named] + [Ranked("gone", 0.1)]


async def test_the_router_ranks_and_what_it_ranked_is_offered(registry):
    offers = await SkillRunner(registry, router=Pick).specs("choose echo")
    assert [(offer.spec.name, offer.score, offer.proposed) for offer in offers] == [
        ("echo", 0.9, True),
        ("choose", 0.9, False),
    ]
    assert offers[0].shots[0].utterance == "x"
    assert offers[1].readings == ()


async def test_choices_are_read_for_the_proposed_skill(registry):
    offers = await SkillRunner(registry, router=SimilarityRouter).specs("x")
    assert (offers[0].spec.name, offers[0].proposed) == ("choose", True)
    assert offers[0].readings == (Reading(argument="word", values=("x",)),)
    assert not any(offer.readings or offer.proposed for offer in offers[1:])


async def test_choices_that_fail_are_none(registry, caplog):
    offers = await SkillRunner(registry, router=SimilarityRouter).specs("an odd one")
    assert next(offer for offer in offers if offer.spec.name == "choose_badly").proposed
    assert not any(offer.readings for offer in offers)
    assert "choose_badly could not read the request" in caplog.text
    assert "ZeroDivisionError" in caplog.text


class Hang:
    """A router for tests: does not end before it is let go."""

    def __init__(self, skills):
        self.let_go = threading.Event()

    def rank(self, query):
        self.let_go.wait(10)
        return []


async def test_a_ranking_that_hangs_is_given_up_and_all_is_offered(registry, monkeypatch, caplog):
    monkeypatch.setattr(runner_module, "RANKING_TIMEOUT_S", 0.05)
    router = Hang(())
    runner = SkillRunner(registry, router=lambda _skills: router)
    try:
        for _ in range(
            runner_module.MAX_RANKINGS + 1
        ):  # the last one finds no thread, and does not wait either
            offers = await runner.specs("echo")
            assert [offer.spec for offer in offers] == [one.spec for one in ALL]
            assert not any(offer.proposed for offer in offers)
    finally:
        router.let_go.set()
    assert "not ranked within 0.05 s" in caplog.text
    assert (await call(registry, "which_thread")).error == ""


async def test_the_router_is_built_again_when_plugins_change(registry):
    runner = SkillRunner(registry, router=Pick)
    await runner.specs("echo")
    built = Pick.built
    await runner.specs("echo")
    assert Pick.built == built
    registry.unregister("tests")
    assert await runner.specs("echo") == []
    assert Pick.built == built + 1


async def test_cancellation_is_no_result(registry):
    results = []
    with anyio.move_on_after(0.005) as scope:
        results.append(await call(registry, "slow"))
    assert scope.cancelled_caught
    assert not results


async def test_what_the_router_read_itself_stands(registry):
    reading = Reading(argument="word", values=("read",), log_weights=(-0.5,))

    class Reader:
        def __init__(self, skills): ...

        def rank(self, query):
            return [Ranked("choose", 1.0, proposed=True, request=query.upper(), readings=(reading,))]

    offers = await SkillRunner(registry, router=Reader).specs("choose")
    assert (offers[0].request, offers[0].readings) == ("CHOOSE", (reading,))
