"""The skill `calculator`: one expression, its exact value."""

from agent_skills.arithmetic import evaluate, show
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import Choices, skill

_EXAMPLES = (
    ("What is 6 plus 11?", "6 + 11"),
    ("add 14 to 29", "14 + 29"),
    ("2+2", "2 + 2"),
    ("Anna has 9 stamps and gets 13 more. How many stamps does she have now?", "9 + 13"),
    ("I paid 18 for shoes and 27 for a coat, how much altogether?", "18 + 27"),
    ("subtract 12 from 77", "77 - 12"),
    ("take 9 off 40", "40 - 9"),
    ("Eva had 24 candies and ate 9. How many are left?", "24 - 9"),
    ("Out of 80 tickets 53 are sold. How many are still available?", "80 - 53"),
    ("how much bigger is 90 than 64", "90 - 64"),
    ("7 x 12 =", "7 * 12"),
    ("Could you please multiply 15 by 4 for me?", "15 * 4"),
    ("I buy 4 tickets for 11 euros each. What is the total price?", "4 * 11"),
    ("A car drives 70 km per hour for 4 hours. How far does it go?", "70 * 4"),
    ("quick one: 96/8?", "96 / 8"),
    ("share 64 among 4 people", "64 / 4"),
    ("24 biscuits are given equally to 3 children. How many does each child get?", "24 / 3"),
    ("6 cakes cost 42. How much is one cake?", "42 / 6"),
    ("what's 15% of 60", "15% of 60"),
    ("A coat costs 80 and is 20 percent off. What do I pay?", "80 - 20% of 80"),
    ("what is half of 46", "46 / 2"),
    ("3 packs of 12 eggs, and 4 eggs break. How many are whole?", "3 * 12 - 4"),
    ("(5 + 7) * 3", "(5 + 7) * 3"),
    ("square root of 144", "sqrt(144)"),
    ("2 to the power of 10", "2 ** 10"),
)


class CalculatorPlugin:
    """Brings the calculator. `choices` proposes expressions for a request, for models that cannot write them."""

    def __init__(self, choices: Choices | None = None) -> None:
        self._choices = choices

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register `calculator`."""
        decorate = skill(
            name="calculator",
            examples=[(utterance, {"expression": expression}) for utterance, expression in _EXAMPLES],
            idempotent=True,
            timeout_s=5.0,
            answer="{expression} = {result}",
            choices=self._choices,
        )
        register(decorate(calculate))


async def calculate(expression: str) -> str:
    """Calculate the exact value of an arithmetic expression.

    Args:
        expression: Numbers with + - * / // % ** and brackets, percentages such as `12% of 80`, and the functions
            sqrt, abs, round, floor, ceil, min, max, sum, avg. Example: (3 + 4.5) * 2
    """
    return show(evaluate(expression))
