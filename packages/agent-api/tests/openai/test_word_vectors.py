"""Which of a client's tools a request is for, by the embedded word vectors: measured on common tools and plain requests."""

from agent_api.openai.word_vectors import FLOOR, likest_tool
from agent_core.tools import ToolSpec
from agent_skills.small_talk import SMALL_TALK

REQUESTS = {
    "get_weather": (
        "Get the current weather for a location",
        [
            "What's the weather like in San Francisco?",
            "How is the weather in Paris today?",
            "weather in Oslo?",
            "Will it rain in Berlin tomorrow?",
            "Tell me the temperature in Tokyo",
            "Is it sunny in Madrid right now?",
        ],
    ),
    "send_email": (
        "Send an email to a person",
        [
            "Send an email to bob@example.com saying hi",
            "Email my boss that I'm late",
            "Write a mail to Anna about the meeting",
        ],
    ),
    "search_web": (
        "Search the web for pages",
        [
            "Search the web for cheap laptops",
            "Look up the newest python version online",
            "google for pancake recipes",
        ],
    ),
    "get_stock_price": (
        "Get the latest stock price of a company",
        ["What's the stock price of Apple?", "How much is a Tesla share?", "price of MSFT stock"],
    ),
    "create_calendar_event": (
        "Create an event in the calendar",
        [
            "Create an event for lunch tomorrow at noon",
            "Put a meeting with Tom into my calendar on Friday",
            "Schedule a dentist appointment for Monday",
        ],
    ),
    "translate_text": (
        "Translate text into another language",
        [
            "Translate 'good morning' into Spanish",
            "How do you say thank you in French?",
            "translate this to German: I am hungry",
        ],
    ),
    "calculate": (
        "Evaluate a mathematical expression",
        ["Calculate 12 * 7", "What is 144 divided by 12?", "evaluate (3+4)^2"],
    ),
    "book_flight": (
        "Book a flight between two airports",
        [
            "Book a flight from Berlin to Rome on May 3",
            "I want to fly from JFK to LAX tomorrow",
            "get me a flight to London",
        ],
    ),
    "set_timer": (
        "Set a timer",
        ["Set a timer for 10 minutes", "start a 5 minute timer", "remind me in 20 minutes"],
    ),
    "play_music": (
        "Play a song or an album",
        ["Play Yesterday by the Beatles", "put on some music", "play the album Thriller"],
    ),
    "get_current_time": (
        "Get the current time in a time zone",
        ["What time is it in Tokyo?", "current time in New York", "tell me the time in UTC"],
    ),
    "find_restaurants": (
        "Find restaurants near a place",
        [
            "Find an Italian restaurant near Times Square",
            "Where can I eat sushi in Boston?",
            "restaurants near me",
        ],
    ),
    "convert_currency": (
        "Convert an amount from one currency to another",
        ["Convert 100 dollars to euros", "How many yen is 50 USD?", "what is 20 pounds in euro currency"],
    ),
    "query_database": (
        "Run a SQL query against the customer database",
        [
            "Run a query for all customers in France",
            "How many customers are in the database?",
            "select the newest orders from the database",
        ],
    ),
    "turn_on_lights": (
        "Turn the lights of a room on",
        ["Turn on the lights in the kitchen", "switch the bedroom light on", "lights on in the living room"],
    ),
    "read_file": (
        "Read a file from disk",
        ["Read the file notes.txt", "show me what is in config.yaml", "open the file /etc/hosts"],
    ),
}
TOOLS = [ToolSpec(name=name, description=text, parameters={}) for name, (text, _) in REQUESTS.items()]
ASKED = [(request, name) for name, (_, requests) in REQUESTS.items() for request in requests]
OF_TOOLS = ("weather", "translate", "time is it")


async def share(requests, tools, *, expected=None, floor=FLOOR):
    """How many of the requests are given the tool that is expected of each; without one, any tool."""
    found = [await likest_tool(request, tools, floor=floor) for request in requests]
    if expected is None:
        return sum(one is not None for one in found) / len(found)
    hits = [one is not None and one.name == name for one, name in zip(found, expected, strict=True)]
    return sum(hits) / len(hits)


async def test_most_requests_are_the_likest_to_their_own_tool():
    requests, names = zip(*ASKED, strict=True)
    assert await share(requests, TOOLS, expected=names, floor=-1) >= 0.95
    assert await share(requests, TOOLS, expected=names) >= 0.88


async def test_talk_that_wants_no_tool_is_like_hardly_any_tool_that_is_offered_alone():
    talk = [text for text in SMALL_TALK if not any(word in text for word in OF_TOOLS)]
    shares = [await share(talk, [tool]) for tool in TOOLS]
    assert sum(shares) / len(shares) <= 0.02


async def test_names_are_read_as_words_and_nothing_is_like_no_words():
    named = ToolSpec(name="sendInvoice", description="", parameters={})
    assert await likest_tool("send the invoice to Anna", [named]) is named
    assert await likest_tool("", TOOLS) is None
