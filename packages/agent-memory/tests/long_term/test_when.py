from datetime import UTC, datetime

import pytest

from agent_memory.long_term.when import span_of

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC).timestamp()  # a Sunday


def days(start: str, end: str) -> tuple[float, float]:
    return tuple(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in (start, end))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("What did I say last March?", "2026-03-01", "2026-04-01"),
        ("What happened in December?", "2025-12-01", "2026-01-01"),
        ("And in November?", "2026-11-01", "2026-12-01"),
        ("What did we plan last November?", "2025-11-01", "2025-12-01"),
        ("Who did she meet on May 3, 2023?", "2023-05-03", "2023-05-04"),
        ("Who did she meet on 3rd of May 2023?", "2023-05-03", "2023-05-04"),
        ("What was on December 24?", "2025-12-24", "2025-12-25"),
        ("the notes of 2024-02-29", "2024-02-29", "2024-03-01"),
        ("in May 2023", "2023-05-01", "2023-06-01"),
        ("in the summer of 2022", "2022-06-01", "2022-09-01"),
        ("winter 2025", "2025-12-01", "2026-03-01"),
        ("last summer", "2026-06-01", "2026-09-01"),
        ("last winter", "2025-12-01", "2026-03-01"),
        ("what did I eat yesterday", "2026-11-21", "2026-11-22"),
        ("the day before yesterday", "2026-11-20", "2026-11-21"),
        ("today", "2026-11-22", "2026-11-23"),
        ("last week", "2026-11-09", "2026-11-16"),
        ("this week", "2026-11-16", "2026-11-23"),
        ("last weekend", "2026-11-14", "2026-11-16"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("last Friday", "2026-11-20", "2026-11-21"),
        ("on Sunday", "2026-11-15", "2026-11-16"),
        ("two weeks ago", "2026-11-04", "2026-11-13"),
        ("three months ago", "2026-08-01", "2026-09-01"),
        ("11 months ago", "2025-12-01", "2026-01-01"),
        ("two years ago", "2024-01-01", "2025-01-01"),
        ("5 days ago", "2026-11-17", "2026-11-18"),
        ("in the last 3 weeks", "2026-11-01", "2026-11-23"),
        ("What did he build in 2024?", "2024-01-01", "2025-01-01"),
    ],
)
def test_a_time_is_a_span(question: str, start: str, end: str) -> None:
    span = span_of(question, NOW)
    assert span is not None
    assert (span.start, span.end) == days(start, end)
    assert span.words in question


def test_before_and_after_open_the_span() -> None:
    (year, _) = days("2024-01-01", "2025-01-01")
    before, since = span_of("before 2024", NOW), span_of("since 2024", NOW)
    assert before is not None
    assert since is not None
    assert (before.start, before.end, before.words) == (0, year, "before 2024")
    assert (since.start, since.end) == (year, float("inf"))
    assert since.holds(NOW)
    assert not before.holds(NOW)


@pytest.mark.parametrize(
    "question",
    [
        "What may we do with the second one?",
        "Did he march to the station?",
        "I need 2023 apples of the fall variety",
        "Who wrote it?",
        "",
    ],
)
def test_no_time_is_made_up(question: str) -> None:
    span = span_of(question, NOW)
    assert span is None or span.words == "2023"  # it may be a number: it only lifts a rank


def test_a_day_that_no_month_has_is_not_read_as_one() -> None:
    span = span_of("the 31st of June 2023", NOW)
    assert span is not None
    assert span.words == "June 2023"
