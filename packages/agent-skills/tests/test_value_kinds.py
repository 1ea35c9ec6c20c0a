"""Kinds of values by their form."""

import pytest

from agent_skills.value_kinds import kinds_of_values

CASES = [
    ("on 2023-04-15", ["date"]),
    ("on 4/15/2023", ["date"]),
    ("on the 2nd of march", ["date"]),
    ("Marching on", []),
    ("I may go", []),
    ("at 13:30", ["time"]),
    ("at 8 pm", ["time"]),
    ("write to anna@home.example", ["email"]),
    ("open https://home.example", ["url"]),
    ("read notes.txt", ["file"]),
    ("at 46.603354, 1.888334", ["latitude longitude coordinates"]),
    ("the 5 largest of 1000", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "kinds"), CASES)
def test_a_value_is_known_by_its_form(text, kinds):
    assert kinds_of_values(text) == kinds


def test_long_texts_are_read_in_linear_time():
    """None of these may take what grows with the square of the length; each would then run for minutes."""
    for text in ("1" * 200_000, "a" * 200_000, "a-" * 100_000, "1.234567" * 25_000, "may " * 50_000):
        kinds_of_values(text)
