"""The skill `calculator`: one expression, its exact value."""

from agent_skills.arithmetic import evaluate, show
from agent_skills.builtin.calculator_reading import CalculatorReader
from agent_skills.hookspecs import Register, hookimpl
from agent_skills.skill import skill

_EXAMPLES = (
    ("What is 6 plus 11?", "6 + 11"),
    ("add 14 to 29", "14 + 29"),
    ("Anna has 9 stamps and gets 13 more. How many stamps does she have now?", "9 + 13"),
    ("I paid 18 for shoes and 27 for a coat, how much altogether?", "18 + 27"),
    ("sum up 33 and 48", "33 + 48"),
    ("There are 16 cats and 7 dogs. How many animals in total?", "16 + 7"),
    ("It was 15 degrees and got 8 degrees warmer. What is the temperature?", "15 + 8"),
    ("Paul is 41, his sister is 5 years older. What is her age?", "41 + 5"),
    ("what's 22 and 19 combined", "22 + 19"),
    ("The rent was 500 and went up by 45. What is the new rent?", "500 + 45"),
    ("increase 60 by 14", "60 + 14"),
    ("What is 50 minus 8?", "50 - 8"),
    ("subtract 12 from 77", "77 - 12"),
    ("take 9 off 40", "40 - 9"),
    ("take away 6 from 31", "31 - 6"),
    ("Eva had 24 candies and ate 9. How many are left?", "24 - 9"),
    ("He lost 11 of 36 cards. How many cards remain?", "36 - 11"),
    ("Out of 80 tickets 53 are sold. How many are still available?", "80 - 53"),
    ("There are 25 people on the bus, 12 of them are women. How many are men?", "25 - 12"),
    ("how much bigger is 90 than 64", "90 - 64"),
    ("the difference of 58 and 21", "58 - 21"),
    ("13 less than 45", "45 - 13"),
    ("reduce 300 by 120", "300 - 120"),
    ("Ken is 29. His wife is 4 years younger. How old is his wife?", "29 - 4"),
    ("I have 35 dollars and buy a game for 22 dollars. How much money do I have left?", "35 - 22"),
    ("A film lasts 130 minutes and I watched 55 minutes. How much is still to come?", "130 - 55"),
    ("A coat was 95 and is 30 cheaper now. What is the price?", "95 - 30"),
    ("What change do I get from 50 if I spend 32?", "50 - 32"),
    ("What is 7 times 12?", "7 * 12"),
    ("multiply 15 by 4", "15 * 4"),
    ("the product of 9 and 17", "9 * 17"),
    ("I buy 4 tickets for 11 euros each. What is the total price?", "4 * 11"),
    ("6 bags with 20 apples each, how many apples are there?", "6 * 20"),
    ("A ticket costs 14 dollars. How much do 5 tickets cost?", "14 * 5"),
    ("She earns 25 per hour and works 8 hours. How much does she earn?", "25 * 8"),
    ("A car drives 70 km per hour for 4 hours. How far does it go?", "70 * 4"),
    ("There are 12 shelves with 30 books on each. How many books?", "12 * 30"),
    ("If a cow gives 18 litres a day, how many litres does it give in 7 days?", "18 * 7"),
    ("Jim is 8 and his father is 5 times older. What age is the father?", "8 * 5"),
    ("one brick weighs 3 kg, what is the weight of 40 bricks", "3 * 40"),
    ("I need 2 eggs per cake and want to bake 9 cakes. How many eggs?", "2 * 9"),
    ("What is 84 divided by 7?", "84 / 7"),
    ("divide 96 by 8", "96 / 8"),
    ("split 45 coins between 5 pirates", "45 / 5"),
    ("share 64 among 4 people", "64 / 4"),
    ("24 biscuits are given equally to 3 children. How many does each child get?", "24 / 3"),
    ("55 students are put in groups of 5. How many groups are there?", "55 / 5"),
    ("6 cakes cost 42. How much is one cake?", "42 / 6"),
    ("how many times does 4 go into 36", "36 / 4"),
    ("The bill is 88 dollars for 4 people. How much does each person pay?", "88 / 4"),
    ("A bus drives 240 km in 3 hours. How fast is it?", "240 / 3"),
    ("A 60 cm stick is cut into 4 equal parts. How long is each part?", "60 / 4"),
    ("how many boxes of 12 do I need for 108 bottles", "108 / 12"),
    ("What is 10% of 90?", "10% of 90"),
    ("25 percent of 60", "25% of 60"),
    ("how much is 8% of 250", "8% of 250"),
    ("The meal was 40 and I tip 20%. What is the tip?", "20% of 40"),
    ("Of 300 pupils 45 percent are girls. How many girls?", "45% of 300"),
    ("A bag costs 70 and the discount is 30%. How much do I save?", "30% of 70"),
    ("A jacket of 120 is reduced by 15%. What is the new price?", "120 - 15% of 120"),
    ("decrease 80 by 5 percent", "80 - 5% of 80"),
    ("My salary of 2000 goes up by 3%. What is it now?", "2000 + 3% of 2000"),
    ("80 plus 19% tax", "80 + 19% of 80"),
    ("half of 34", "34 / 2"),
    ("double 21", "21 * 2"),
    ("what is twice 17", "17 * 2"),
    ("a quarter of 48", "48 / 4"),
    ("a third of 27", "27 / 3"),
    ("triple 14", "14 * 3"),
    ("8 squared", "8 * 8"),
    ("The square of 12", "12 * 12"),
    ("add 3, 8 and 12", "3 + 8 + 12"),
    ("Total of 20, 35, 7 and 4", "20 + 35 + 7 + 4"),
    ("I had 30 euros, earned 12 and spent 18. How much do I have?", "30 + 12 - 18"),
    ("She has 40 sweets, eats 5 and gives 8 away. How many are left?", "40 - 5 - 8"),
    ("There were 20 people, 6 left and 9 came. How many are there?", "20 - 6 + 9"),
    ("multiply 2, 5 and 9", "2 * 5 * 9"),
    ("5 boxes of 8 pens and 3 more pens, how many pens?", "5 * 8 + 3"),
    ("4 bags with 10 apples each, 7 apples are bad. How many good apples?", "4 * 10 - 7"),
    ("I buy 3 pens for 4 dollars each and pay with 20 dollars. What is my change?", "20 - 3 * 4"),
    ("7 + 5 * 3", "7 + 5 * 3"),
    ("What is (9 - 4) * 6?", "(9 - 4) * 6"),
    ("compute 36 / 4", "36 / 4"),
    ("The tree had 30 apples and 12 fell down. How many hang there still?", "30 - 12"),
    ("26 birds sat on a wire and 9 flew off, how many stayed", "26 - 9"),
    ("From 45 balloons 8 burst. How many are whole?", "45 - 8"),
    ("He borrowed 75 and gave back 40. How much does he still owe?", "75 - 40"),
    ("90 pages in all and 35 are done, how many to go", "90 - 35"),
    ("Rita is 52 and Sam is 17 years younger. How old is Sam?", "52 - 17"),
    ("He is 38, she is 6 years older, what is her age", "38 + 6"),
    ("of 64 seats 19 are empty, how many are taken", "64 - 19"),
    ("I put aside 20 every week. What do I have after 9 weeks?", "20 * 9"),
    ("She walks 6 km a day, how far in 14 days", "6 * 14"),
    ("A row has 16 seats and there are 7 rows, how many seats", "16 * 7"),
    ("one pack holds 8 batteries; what do 5 packs hold", "8 * 5"),
    ("Kim has 5 coins, Lee has 9 and Max has 4. How many coins altogether?", "5 + 9 + 4"),
    ("In three bowls there are 11, 7 and 16 cherries. How many cherries are there?", "11 + 7 + 16"),
    ("A box has 18 eggs, we have 4 boxes, and 6 eggs are broken. How many good eggs?", "18 * 4 - 6"),
    ("2 coats at 60 each and a hat for 15, what is the sum", "2 * 60 + 15"),
    ("I bought 6 cups for 4 euros each and a pot for 22 euros. Total?", "6 * 4 + 22"),
    ("a herd of 80, and a quarter of it is sold, how many are sold", "80 / 4"),
    ("Her uncle is twice as old as she is and she is 19. The uncle's age?", "19 * 2"),
    ("my father is 66 and I am half his age, how old am I", "66 / 2"),
    ("15 multiplied with 12", "15 * 12"),
    ("how many times bigger is 72 than 9", "72 / 9"),
    ("we are 5 and pay 130 together, what does each of us pay", "130 / 5"),
    ("100 minus 20 minus 35", "100 - 20 - 35"),
    ("square root of 144", "sqrt(144)"),
    ("2 to the power of 10", "2 ** 10"),
    ("the average of 4, 8 and 15", "avg(4, 8, 15)"),
)


class CalculatorPlugin:
    """Brings the calculator."""

    @hookimpl
    def register_skills(self, register: Register) -> None:
        """Register `calculator`."""
        decorate = skill(
            name="calculator",
            examples=[(utterance, {"expression": expression}) for utterance, expression in _EXAMPLES],
            idempotent=True,
            timeout_s=5.0,
            answer="{expression} = {result}",
            reader=CalculatorReader(),
        )
        register(decorate(calculate))


async def calculate(expression: str) -> str:
    """Calculate the exact value of an arithmetic expression.

    Args:
        expression: Numbers with + - * / // % ** and brackets, percentages such as `12% of 80`, and the functions
            sqrt, abs, round, floor, ceil, min, max, sum, avg. Example: (3 + 4.5) * 2
    """
    return show(evaluate(expression))
