import pytest

from agent_skills.arithmetic import evaluate
from agent_skills.builtin.calculator_phrases import spoken_expression
from agent_skills.builtin.calculator_reading import operands, rewrite

SPOKEN = [
    ("add 14 to 29", "14 + 29", 43),
    ("add 3, 8 and 12", "3 + 8 + 12", 23),
    ("the sum of 5, 6, and 7", "5 + 6 + 7", 18),
    ("multiply 2, 5 and 9", "2 * 5 * 9", 90),
    ("multiply 15 by 4", "15 * 4", 60),
    ("product of nine and seventeen", "9 * 17", 153),
    ("the average of 4, 8 and 15", "avg(4, 8, 15)", 9),
    ("subtract 12 from 77", "77 - 12", 65),
    ("take 9 off 40", "40 - 9", 31),
    ("take away 6 from 31", "31 - 6", 25),
    ("difference between 18 and 75", "75 - 18", 57),
    ("divide 96 by 8", "96 / 8", 12),
    ("the quotient of 20 and 4", "20 / 4", 5),
    ("increase 60 by 10%", "60 + 10% of 60", 66),
    ("decrease 80 by five percent", "80 - 5% of 80", 76),
    ("80 plus 19% tax", "80 + 19% of 80", 95.2),
    ("120 - 15%", "120 - 15% of 120", 102),
    ("raise 60 by 14", "60 + 14", 74),
    ("reduce 300 by 120", "300 - 120", 180),
    ("one fourth of 80", "80 / 4", 20),
    ("a third of 27", "27 / 3", 9),
    ("two thirds of 90", "90 * 2 / 3", 60),
    ("three quarters of 60", "60 * 3 / 4", 45),
    ("a quarter of 48", "48 / 4", 12),
    ("half of 34", "34 / 2", 17),
    ("double eighty-four", "84 * 2", 168),
    ("what is twice 17", "17 * 2", 34),
    ("triple 14", "14 * 3", 42),
    ("square root of 144", "sqrt(144)", 12),
    ("sqrt of 196", "sqrt(196)", 14),
    ("the square of 12", "12 * 12", 144),
    ("cube of 4", "4 * 4 * 4", 64),
    ("add 1.5 to 2.25", "1.5 + 2.25", 3.75),
]


@pytest.mark.parametrize(("text", "expression", "value"), SPOKEN)
def test_a_phrase_names_its_expression(text, expression, value):
    request = rewrite(text)
    assert spoken_expression(request, len(operands(request))) == expression
    assert float(evaluate(expression)) == value


UNSPOKEN = [
    "I have 7 apples and add 3 to 4",
    "add 3 to my score",
    "half of the 34 people",
    "divide 9 by 3 and then by 2",
    "increase 100 by 5% and 3",
    "multiply",
    "hello",
    "",
]


@pytest.mark.parametrize("text", UNSPOKEN)
def test_a_phrase_that_leaves_a_number_out_says_nothing(text):
    request = rewrite(text)
    assert spoken_expression(request, len(operands(request))) == ""
