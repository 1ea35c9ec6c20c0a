import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_skills.numbers import find_numbers, in_digits, replace_numbers

IN_DIGITS = [
    ("twenty-five percent of a hundred", "25 percent of 100"),
    ("seven thousand two hundred and six", "7206"),
    ("2 hundred", "200"),
    ("A hundred and five take away sixty-eight?", "105 take away 68?"),
    ("a thousand minus a hundred and twenty", "1000 minus 120"),
    ("1.5 million", "1500000"),
    ("half a million", "half 1000000"),
    ("the hundred", "100"),
    ("a dozen eggs", "12 eggs"),
    ("fourty two", "42"),
    ("three point five times 2", "3.5 times 2"),
    ("1,234.5 plus 2", "1234.5 plus 2"),
    ("1,234,567", "1234567"),
    ("1, 234", "1, 234"),
    ("two and three", "2 and 3"),
    ("a fifth of 100", "a 5th of 100"),
    ("nothing at all", "nothing at all"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "digits"), IN_DIGITS)
def test_number_words_become_digits(text, digits):
    assert in_digits(text) == digits


ONE = [
    ("what does one cost", "what does one cost"),
    ("I have one dog", "I have one dog"),
    ("one half of 40", "one half of 40"),
    ("640 and one friend", "640 and 1 friend"),
    ("640 and I share with one friend", "640 and I share with one friend"),
    ("one plus one", "1 plus 1"),
    ("one plus seven", "1 plus 7"),
    ("twenty one plus one", "21 plus 1"),
    ("one hundred", "100"),
]


@pytest.mark.parametrize(("text", "digits"), ONE)
def test_one_is_a_pronoun_unless_it_is_needed(text, digits):
    assert in_digits(text) == digits


FOUND = [
    ("3 and 4.5 and .5", ["3", "4.5", ".5"]),
    ("1,234 apples, 5 pears", ["1,234", "5"]),
    ("25% of 3.", ["25", "3"]),
    ("none", []),
]


@pytest.mark.parametrize(("text", "found"), FOUND)
def test_numbers_are_found_as_they_stand(text, found):
    assert find_numbers(text) == found


def test_numbers_are_replaced_in_digits_and_in_words():
    assert (
        replace_numbers("twenty and 1,000 and 2.5", lambda number: f"<{number}>")
        == "<20> and <1000> and <2.5>"
    )


@given(st.text(max_size=60))
def test_any_text_can_be_read(text):
    find_numbers(in_digits(text))


@given(st.lists(st.integers(0, 10**9), max_size=5))
def test_digits_stay_as_they_are(numbers):
    text = " and ".join(map(str, numbers))
    assert find_numbers(in_digits(text)) == [str(number) for number in numbers]
