"""Dice for agents: the smallest plugin."""

from secrets import randbelow

from agent_skills import Register, hookimpl, skill


@skill(examples=[("roll two dice", {"count": 2}), ("throw a die with 20 sides", {"sides": 20})])
def roll_dice(count: int = 1, sides: int = 6) -> list[int]:
    """Roll dice and return what each of them shows."""
    return [randbelow(sides) + 1 for _ in range(count)]


@hookimpl
def register_skills(register: Register) -> None:
    register(roll_dice)
