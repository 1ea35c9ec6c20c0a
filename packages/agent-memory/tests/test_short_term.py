import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ContextTooLongError
from agent_core.messages import Message, assistant, system, user
from agent_core.tools import ToolCall, ToolResult
from agent_memory import ShortTermWindow
from agent_memory.short_term import turns


def words(message: Message) -> int:
    """One token a word; calls and results are one token each."""
    return len(message.text.split()) + len(message.tool_calls) + len(message.tool_results)


def window(budget_tokens: int) -> ShortTermWindow:
    return ShortTermWindow(budget_tokens=budget_tokens, model="test:model", count_tokens=words)


CALL = Message(role="assistant", parts=(ToolCall(tool_call_id="t", name="look_up", arguments={}),))
RESULT = Message(role="tool", parts=(ToolResult(tool_call_id="t", content="found"),))
FIRST = (user("one"), assistant("re one"))
SECOND = (user("two"), CALL, RESULT, assistant("re two"))
NEW = user("and now")


# The newest turn takes 5 tokens, the one before it 3, the input 2.
@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (2, ()),
        (6, ()),
        (7, SECOND),
        (9, SECOND),
        (10, (*FIRST, *SECOND)),
        (1_000, (*FIRST, *SECOND)),
    ],
)
def test_the_newest_whole_turns_stay(budget: int, kept: tuple[Message, ...]) -> None:
    assert window(budget).fit((*FIRST, *SECOND), NEW) == kept


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (5, (system("be kind please"),)),
        (9, (system("be kind please"),)),
        (10, (system("be kind please"), *SECOND)),
        (13, (system("be kind please"), *FIRST, *SECOND)),
    ],
)
def test_system_messages_stay_in_front(budget: int, kept: tuple[Message, ...]) -> None:
    assert window(budget).fit((*FIRST, system("be kind please"), *SECOND), NEW) == kept


def test_an_old_turn_does_not_slip_in_behind_one_that_did_not_fit() -> None:
    middle = (user("two " * 50), assistant("re"))
    last = (user("three"), assistant("re three"))
    assert window(20).fit((*FIRST, *middle, *last), NEW) == last


@pytest.mark.parametrize(("pinned", "budget", "tokens"), [((), 1, 2), ((system("be kind"),), 3, 4)])
def test_what_must_stay_and_does_not_fit_is_refused(
    pinned: tuple[Message, ...], budget: int, tokens: int
) -> None:
    with pytest.raises(ContextTooLongError, match="test:model") as raised:
        window(budget).fit((*pinned, *FIRST), NEW)
    assert (raised.value.tokens, raised.value.limit) == (tokens, budget)


def test_turns_begin_with_a_person() -> None:
    opening = assistant("welcome")
    assert turns(()) == []
    assert turns((opening, *FIRST, *SECOND)) == [(opening,), FIRST, SECOND]


def test_why_an_answer_was_sent_back_begins_no_turn() -> None:
    sent_back = Message(role="user", parts=user("shorter, please").parts, note=True)
    assert turns((*FIRST, sent_back, assistant("1"), *SECOND)) == [
        (*FIRST, sent_back, assistant("1")),
        SECOND,
    ]


exchanges = st.sampled_from([FIRST, SECOND, (user("w " * 9), CALL, RESULT, CALL, RESULT, assistant("x"))])


@given(st.lists(exchanges, max_size=8), st.booleans(), st.integers(2, 60))
def test_the_window_is_the_longest_end_of_whole_turns_within_the_budget(
    said: list[tuple[Message, ...]], pin: bool, budget: int
) -> None:
    messages = [message for turn in said for message in turn]
    pinned = (system("p"),) if pin else ()
    if budget < words(NEW) + pin:
        return
    kept = window(budget).fit((*pinned, *messages), NEW)
    assert kept[: len(pinned)] == pinned
    rest = list(kept[len(pinned) :])
    count = len(turns(rest))
    assert rest == [message for turn in said[len(said) - count :] for message in turn]
    assert sum(map(words, (*kept, NEW))) <= budget
    if count < len(said):
        assert sum(map(words, (*kept, NEW, *said[-count - 1]))) > budget
