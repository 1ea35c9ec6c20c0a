from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core import events as ev
from agent_core.lessons import Lesson
from agent_core.messages import Message, assistant, user
from agent_core.state import RunState
from agent_core.tools import ToolCall, ToolExample, ToolResult, ToolSpec
from agent_core.transitions import replay
from agent_memory import Pattern, SkillMemory
from agent_memory.embedders.static import StaticEmbedder
from agent_memory.skill_memory import records
from agent_memory.skill_memory.patterns import calls_of, pattern_of


def tool(name: str, description: str, **parameters: str) -> ToolSpec:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    return ToolSpec(
        name=name, description=description, parameters={"type": "object", "properties": properties}
    )


TOOLS = (
    tool("get_weather", "The weather forecast for a place.", city="Name of the city"),
    tool("sendEmail", "Send a message to somebody.", to="Address", text="What to say"),
    tool("convert_currency", "Convert an amount of money.", amount="How much", target="Currency"),
)


def run(
    number: int,
    goal: str,
    *calls: tuple[str, dict[str, object], str],
    lessons: Sequence[Lesson] = (),
    context: tuple[Message, ...] = (),
) -> RunState:
    """A run that made these calls: name, arguments, and the error, if any."""
    run_id, at = f"run_{number}", float(number)
    events: list[ev.Event] = [
        ev.RunStarted(at=at, run_id=run_id, session_id="s", input=user(goal), model="m"),
        ev.ContextHydrated(at=at, messages=context),
    ]
    for place, (name, arguments, error) in enumerate(calls):
        call = ToolCall(tool_call_id=f"c{place}", name=name, arguments=arguments)
        result = ToolResult(tool_call_id=f"c{place}", content="done", error=error)
        events += [
            ev.ToolsCalled(at=at, parts=(call,), model="m"),
            ev.tool_back(result, at=at),
            ev.ResultsAccepted(at=at),
        ]
    events += [
        ev.ModelAnswered(at=at, parts=assistant("It is done.").parts, model="m"),
        ev.AnswerAccepted(at=at),
    ]
    state = replay(run_id, events)
    import msgspec

    return msgspec.structs.replace(state, lessons=tuple(lessons)) if lessons else state


WEATHER = ("get_weather", {"city": "Lisbon"}, "")


@pytest.fixture
async def skills(tmp_path: Path) -> AsyncGenerator[SkillMemory]:
    async with await SkillMemory.open(tmp_path / "skills.db") as skills:
        await skills.add_tools(TOOLS)
        yield skills


async def names(skills: SkillMemory, request: str) -> list[str]:
    return [hit.name for hit in await skills.search(request)]


async def test_tools_are_found_by_the_words_of_their_schemas(skills: SkillMemory) -> None:
    assert (await names(skills, "what is the forecast?"))[0] == "get_weather"
    assert (await names(skills, "write an email"))[0] == "sendEmail", "words within a name count"
    assert (await names(skills, "which currency"))[0] == "convert_currency"
    assert await names(skills, "xyzzy") == []


async def test_meaning_finds_tools_that_share_no_word(tmp_path: Path) -> None:
    async with await SkillMemory.open(tmp_path / "s.db", embedder=StaticEmbedder()) as skills:
        await skills.add_tools(TOOLS)
        assert (await names(skills, "will it rain tomorrow"))[0] == "get_weather"
        (hit, *_) = await skills.search("euros to dollars")
        assert hit.name == "convert_currency"
        assert hit.signals["meaning"] > 0


async def test_a_request_that_a_tool_served_finds_it_again(tmp_path: Path) -> None:
    request = "do I need an umbrella in Lisbon?"
    async with await SkillMemory.open(tmp_path / "s.db") as skills:
        await skills.add_tools(TOOLS)
        assert await names(skills, "umbrella") == []
        await skills.learn(run(1, request, WEATHER), verified=True)
        assert await names(skills, "need an umbrella") == ["get_weather"]
    async with await SkillMemory.open(tmp_path / "s.db") as skills:
        assert await names(skills, "need an umbrella") == ["get_weather"]
        assert skills.shots("get_weather", "an umbrella?") == (
            ToolExample(utterance=request, arguments={"city": "Lisbon"}),
        )


async def test_the_nearest_shots_come_first(skills: SkillMemory) -> None:
    for number, city in enumerate(("Lisbon", "Rome", "Oslo")):
        call = ("get_weather", {"city": city}, "")
        await skills.learn(run(number, f"is it warm in {city}", call), verified=True)
    nearest, _ = skills.shots("get_weather", "warm in Rome?", k=2)
    assert nearest.arguments == {"city": "Rome"}
    assert skills.shots("sendEmail", "x") == ()


async def test_a_replaced_tool_is_found_by_its_new_words_only(skills: SkillMemory) -> None:
    await skills.add_tools([tool("get_weather", "Star charts of the night sky.")])
    assert (await names(skills, "charts of the sky"))[0] == "get_weather"
    assert await names(skills, "forecast for a place") == []


async def test_forgotten_tools_leave_no_byte(skills: SkillMemory) -> None:
    await skills.learn(run(1, "is it warm in Lisbon", WEATHER), verified=True)
    await skills.forget_tools(["get_weather"])
    assert "get_weather" not in await names(skills, "forecast warm Lisbon money")
    assert await skills.patterns("is it warm in Lisbon") == []
    assert await skills.statistics() == []
    for file in skills.path.parent.iterdir():
        assert b"forecast" not in file.read_bytes()
        assert b"warm in" not in file.read_bytes()


async def test_what_was_learned_of_forgotten_words_leaves_no_byte(skills: SkillMemory) -> None:
    await skills.learn(run(1, "is it warm in Xanadu7391", WEATHER), verified=True)
    await skills.learn(run(2, "is it warm in Rome", ("get_weather", {"city": "Rome"}, "")), verified=True)
    assert any(b"Xanadu7391" in file.read_bytes() for file in skills.path.parent.iterdir())
    assert await skills.forget("xanadu7391") >= 1
    assert not any(b"Xanadu7391" in file.read_bytes() for file in skills.path.parent.iterdir())
    assert [one.utterance for one in skills.shots("get_weather", "warm?")] == ["is it warm in Rome"]
    assert "get_weather" in await names(skills, "is it warm in Rome")
    (counted,) = await skills.statistics()
    assert counted.successes == 2


async def test_only_so_many_requests_of_a_tool_are_held(
    skills: SkillMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "SERVED_AT_MOST", 3)
    for number in range(8):
        await skills.learn(run(number, f"is it warm in city {number % 6}", WEATHER), verified=True)
    held = {one.utterance for one in skills.shots("get_weather", "warm", k=50)}
    assert held == {f"is it warm in city {number}" for number in (5, 0, 1)}


# ── statistics and lessons ───────────────────────────────────────────────────────────────────────────────────────


async def test_calls_are_counted_once_a_run(skills: SkillMemory) -> None:
    state = run(1, "x", WEATHER, ("get_weather", {"city": "?"}, "not_found"))
    await skills.learn(state, verified=False)
    await skills.learn(state, verified=True)
    (one,) = await skills.statistics()
    assert (one.tool, one.successes, one.failures, one.last_error) == ("get_weather", 1, 1, "not_found")
    assert one.reliability == 0.5
    assert await skills.all_patterns() == [], "told again of a run, nothing is learned"


async def test_lessons_are_kept_with_what_fixed_them(skills: SkillMemory) -> None:
    unfixed = Lesson(reason="unknown city", tool="get_weather")
    fixed = Lesson(reason="unknown city", tool="get_weather", fixed_by='{"city":"Lisbon"}')
    rude = Lesson(reason="be kind")
    await skills.learn(run(1, "x", lessons=[fixed, rude]), verified=False)
    await skills.learn(run(2, "x", lessons=[unfixed]), verified=False)
    (first, second) = await skills.lessons()
    assert (first.lesson, first.times) == (fixed, 2)
    assert second.lesson == rude
    assert [one.lesson for one in await skills.lessons(tool="get_weather")] == [fixed]


# ── patterns ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_pattern_enters_with_a_verified_success_only(skills: SkillMemory) -> None:
    goal = "is it warm in Lisbon"
    await skills.learn(run(1, goal, WEATHER), verified=False)
    assert await skills.patterns(goal) == []
    await skills.learn(run(2, goal, WEATHER), verified=True)
    (pattern,) = await skills.patterns("is it warm in Rome")
    assert pattern.goal == "is it warm in {city}"
    assert [(step.tool, step.arguments) for step in pattern.steps] == [("get_weather", {"city": "{city}"})]
    assert pattern.outcome == "It is done."
    assert await skills.patterns("send an email") == []


async def test_a_run_that_called_nothing_is_no_pattern(skills: SkillMemory) -> None:
    await skills.learn(run(1, "hello"), verified=True)
    assert await skills.all_patterns() == []


async def test_the_same_way_is_one_pattern_whatever_fills_its_blanks(skills: SkillMemory) -> None:
    for number, city in enumerate(("Lisbon", "Rome")):
        call = ("get_weather", {"city": city}, "")
        await skills.learn(run(number, f"is it warm in {city}", call), verified=True)
    (pattern,) = await skills.all_patterns()
    assert (pattern.wins, pattern.losses) == (2, 0)


async def test_a_pattern_leaves_when_it_stops_working(skills: SkillMemory) -> None:
    goal = "is it warm in Lisbon"
    for number in range(3):
        await skills.learn(run(number, goal, WEATHER), verified=True)
    (pattern,) = await skills.patterns(goal)
    assert await skills.pattern_used(pattern, worked=False)
    assert await skills.pattern_used(pattern, worked=True)
    await skills.learn(run(9, goal, WEATHER), verified=False)
    assert len(await skills.patterns(goal)) == 1
    assert not await skills.pattern_used(pattern, worked=False), "twice in a row"
    assert await skills.patterns(goal) == []
    assert not await skills.pattern_used(pattern, worked=True)


def test_failed_calls_are_no_steps_and_context_is_not_looked_at() -> None:
    before = (
        user("go"),
        Message(role="assistant", parts=(ToolCall(tool_call_id="old", name="old", arguments={}),)),
    )
    state = run(1, "do it", ("get_weather", {"city": "?"}, "not_found"), WEATHER, context=before)
    calls = calls_of(state)
    assert [(one.call.name, one.error) for one in calls] == [
        ("get_weather", "not_found"),
        ("get_weather", ""),
    ]
    pattern = pattern_of(state, calls, at=0)
    assert pattern is not None
    assert [step.arguments for step in pattern.steps] == [{"city": "Lisbon"}]


words = st.text(st.characters(codec="ascii", categories=("L",)), min_size=2, max_size=6)


@given(st.dictionaries(st.sampled_from("abcd"), words, max_size=4), st.lists(words, max_size=4))
def test_filling_the_blanks_gives_the_goal_again(arguments: dict[str, str], others: list[str]) -> None:
    goal = " ".join([*arguments.values(), *others]) or "nothing"
    state = run(1, goal, ("t", dict(arguments), ""))
    pattern = pattern_of(state, calls_of(state), at=0)
    assert pattern is not None
    (step,) = pattern.steps
    filled = pattern.goal
    for name, value in arguments.items():
        blank = step.arguments[name]
        assert isinstance(blank, str)
        filled = filled.replace(blank, value) if blank.startswith("{") else filled
    assert filled == goal


@pytest.mark.parametrize(
    ("uses", "works"),
    [("+", True), ("+-", True), ("+--", False), ("+-+-", True), ("-+-+-", False), ("--+", False)],
)
def test_when_a_pattern_works(uses: str, works: bool) -> None:
    assert Pattern(goal="", example="", steps=(), outcome="", uses=uses).works is works
