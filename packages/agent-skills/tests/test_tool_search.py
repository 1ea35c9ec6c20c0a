"""Search over tools: words in names, descriptions, arguments and examples; few are all offered, of many the fittest."""

import msgspec
import pytest

from agent_core.ports import ToolContext
from agent_core.tools import ToolCall, ToolExample, ToolSpec
from agent_skills import SkillRegistry, SkillRunner, hookimpl, skill
from agent_skills.tool_search import MOST_SENT, OFFERED, FinderPlugin, OfferSome, ToolIndex, words


def spec(name, description, *, arguments=(), examples=()):
    return ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {one: {"type": "string", "description": "x"} for one in arguments},
        },
        examples=tuple(ToolExample(utterance=text, arguments={}) for text in examples),
    )


TOOLS = [
    spec("send_email", "Send a message to somebody.", arguments=["recipient", "subject"]),
    spec("deleteInvoice", "Remove an invoice from the books."),
    spec("list-invoices", "Show the invoices of a customer."),
    spec("weather", "Tell how it will be outside.", examples=["do I need an umbrella tomorrow"]),
    spec("get_todo", "Read the to-do list."),
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("email", "send_email"),
        ("who is the recipient", "send_email"),
        ("get rid of an invoice", "deleteInvoice"),
        ("erase invoices", "deleteInvoice"),
        ("all my invoices, please", "list-invoices"),
        ("umbrella?", "weather"),
        ("which things are in my to-do list", "get_todo"),
    ],
)
def test_a_tool_is_found_by_any_of_its_words(query, first):
    assert ToolIndex(TOOLS).search(query)[0].name == first


def test_values_and_inner_arguments_are_searched():
    films = ToolSpec(
        name="find_shows",
        description="Find something.",
        parameters={
            "type": "object",
            "properties": {
                "filter": {
                    "type": "object",
                    "properties": {
                        "genres": {"type": "array", "items": {"type": "string", "enum": ["drama"]}}
                    },
                },
                "day": {"enum": ["monday"]},
            },
        },
    )
    index = ToolIndex([*TOOLS, films])
    for query in ("a drama", "what is there on monday", "which genres are there"):
        assert index.search(query)[0].name == "find_shows"


def test_words_that_begin_alike_find_each_other():
    index = ToolIndex([*TOOLS, spec("currency_conversion", "Turn an amount into another.")])
    assert index.search("convert it")[0].name == "currency_conversion"


@pytest.mark.parametrize("query", ["", "of the", "zebra", "\0 {} %s"])
def test_nothing_fits_what_shares_no_word(query):
    assert ToolIndex(TOOLS).search(query) == []
    assert ToolIndex(()).search(query) == []


def test_a_tool_that_takes_what_the_request_holds_goes_before_one_that_does_not():
    on_a_day = spec("forecast_on", "Weather of a city.", arguments=["city", "date"])
    now = spec("forecast", "Weather of a city.", arguments=["city", "units"])
    index = ToolIndex([now, on_a_day])
    assert index.search("the weather of Lagos")[0].name == "forecast"
    for day in ("2023-04-15", "April 9th", "the 2nd of march", "Friday", "tomorrow"):
        assert index.search(f"the weather of Lagos on {day}")[0].name == "forecast_on"


def test_each_of_several_requests_in_one_message_finds_its_tool():
    """The second asks for so little that tools for the first would fill all places."""
    areas = [
        spec(f"{shape}_area", f"Compute the area of a {shape} from radius, height, base and side in meters.")
        for shape in ("circle", "triangle", "square", "ellipse", "hexagon", "kite")
    ]
    others = [spec(f"other_{number}", f"Handle event {number} of {number}s.") for number in range(100)]
    shows = spec("shows", "Tell about events.", arguments=["genre", "place", "artist", "venue"])
    index = ToolIndex([*areas, *others, shows])
    asked = "Compute the area of a circle with a radius of 5 meters."
    alone = "Tell about events by genre, place, artist, venue."
    assert index.search(alone)[0].name == "shows"
    assert "shows" in [one.name for one in index.search(f"{asked} {alone}")]


def test_what_went_well_before_goes_first():
    index = ToolIndex(TOOLS)
    assert index.search("invoice", learned={"weather": 1.0})[0].name == "weather"
    assert index.search("zebra", learned={"weather": 0.5})[0].name == "weather"


def test_words_lose_what_only_bends_them():
    assert set(words("printing prints")) == set(words("print"))
    assert "act:delete" in words("get rid of it")
    assert "rid" not in words("get rid of it")


def make(number):
    @skill(name=f"tool_{number}")
    async def act(what: str) -> str:
        """Do it."""
        return what

    return act


class Many:
    def __init__(self, count):
        self._skills = [make(number) for number in range(count)]

    @hookimpl
    def register_skills(self, register):
        for one in self._skills:
            register(one)


async def runner_with(count):
    registry = SkillRegistry()
    registry.register("many", Many(count))
    registry.register("finder", FinderPlugin(registry))
    return registry, SkillRunner(registry, router=OfferSome)


async def test_few_are_all_offered_the_fittest_first():
    _, runner = await runner_with(MOST_SENT - 1)
    offers = await runner.specs("tool 7")
    assert len(offers) == MOST_SENT
    assert offers[0].spec.name == "tool_7"
    assert [offer.score for offer in offers] == sorted((offer.score for offer in offers), reverse=True)


async def test_of_many_the_fittest_and_the_one_that_finds_more():
    _, runner = await runner_with(100)
    offers = await runner.specs("tool 77")
    assert offers[0].spec.name == "tool_77"
    assert offers[-1].spec.name == "find_skills"
    assert len(offers) <= OFFERED + 1
    assert [offer.spec.name for offer in await runner.specs("")] == ["find_skills"]


async def test_a_model_finds_what_it_was_not_offered_and_calls_it():
    registry, runner = await runner_with(100)
    context = ToolContext(run_id="r", session_id="s", idempotency_key="k")
    call = ToolCall(tool_call_id="c", name="find_skills", arguments={"query": "tool 42"})
    found = msgspec.json.decode((await runner.run(call, context)).content)
    assert found[0]["name"] == "tool_42"
    assert found[0]["parameters"]["required"] == ["what"]
    call = ToolCall(tool_call_id="d", name="tool_42", arguments={"what": "done"})
    assert (await runner.run(call, context)).content == "done"
    registry.unregister("many")
    call = ToolCall(tool_call_id="e", name="find_skills", arguments={"query": "tool 42"})
    assert (await runner.run(call, context)).content == "[]"
