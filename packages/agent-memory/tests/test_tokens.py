import pytest

from agent_core.messages import File, Image, Message, Reasoning, Text, user
from agent_core.tools import ToolCall, ToolResult
from agent_memory import counted_by, estimate_tokens

# Tokens in the vocabulary of SmolLM2-135M-Instruct, counted with llama.cpp (2026-11).
COUNTED = [
    (
        "The engineer who embeds this library wants to know what it costs, and how quickly it answers. " * 10,
        191,
    ),
    ("1234567890 3.14159 2026-11-22T08:51:03Z " * 20, 800),
    ("Машина состояний хранит журнал событий и восстанавливается после сбоя. " * 10, 551),
    ("智能体系统在崩溃之后可以从日志中恢复运行状态。" * 10, 430),
    ("エージェントはジャーナルから復元されます。" * 10, 370),
    ("THE QUICK BROWN FOX XQZJ KPWV " * 20, 321),
    ("0x9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 " * 8, 496),
]


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_the_estimate_is_above_the_truth_and_under_twice_it(text: str, tokens: int) -> None:
    assert 0.98 * tokens <= estimate_tokens(user(text)) <= 2.2 * tokens


def test_every_part_counts() -> None:
    parts = (
        Text(text="a word"),
        Reasoning(text="a thought"),
        ToolCall(tool_call_id="t", name="add", arguments={"a": 1}),
        ToolResult(tool_call_id="t", content="two"),
    )
    sizes = [
        estimate_tokens(Message(role="assistant", parts=parts[:count])) for count in range(len(parts) + 1)
    ]
    assert sizes == sorted(set(sizes))
    assert sizes[0] > 0


def test_text_that_no_encoding_holds_counts_too() -> None:
    assert estimate_tokens(user("\ud800")) > estimate_tokens(user(""))


def test_a_picture_counts_by_what_it_shows_and_not_by_its_bytes() -> None:
    small, large = (Message(role="user", parts=(Image(data=bytes(size)),)) for size in (10, 1_000_000))
    shown = ToolResult(tool_call_id="c", content="", attachments=large.parts)
    returned = estimate_tokens(Message(role="tool", parts=(shown,)))
    assert estimate_tokens(small) < returned < estimate_tokens(small) + 50
    assert 1_000 < estimate_tokens(small) == estimate_tokens(large) < 2_000
    pages = Message(role="user", parts=(File(data=bytes(300_000)),))
    assert estimate_tokens(large) < estimate_tokens(pages) < 20_000


def test_a_tokenizer_that_is_known_is_asked_once_a_text() -> None:
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return len(text.split())

    counted = counted_by(count)
    assert counted(user("two words")) - counted(user("")) == 2
    assert counted(user("two words")) - counted(user("")) == 2
    assert asked == ["two words", ""]
    call = Message(role="assistant", parts=(ToolCall(tool_call_id="t", name="add", arguments={"a": 1}),))
    assert counted(call) > counted(user(""))
