import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent_memory.long_term.facts import Fact, plan


def fact(object_: str, start: float = 0.0, end: float = math.inf, **more: object) -> Fact:
    given: dict[str, object] = {"subject": "Ana", "predicate": "lives_in", "object": object_, **more}
    return Fact(valid_from=start, valid_to=end, **given)  # type: ignore[arg-type]


def spans(facts: tuple[Fact, ...]) -> set[tuple[str, float, float]]:
    return {(one.object, one.valid_from, one.valid_to) for one in facts}


PORTO = fact("Porto", 10, id=1)


@pytest.mark.parametrize(
    ("new", "retired", "inserted"),
    [
        (fact("Lisbon", 20), (1,), {("Porto", 10, 20), ("Lisbon", 20, math.inf)}),
        (fact("Lisbon", 5), (), {("Lisbon", 5, 10)}),
        (fact("Lisbon", 5, 8), (), {("Lisbon", 5, 8)}),
        (fact("Lisbon", 10), (1,), {("Lisbon", 10, math.inf)}),
        (
            fact("Lisbon", 20, 30),
            (1,),
            {("Porto", 10, 20), ("Lisbon", 20, 30), ("Porto", 30, math.inf)},
        ),
        (fact("Porto", 20, 30), (1,), {("Porto", 10, math.inf)}),
        (fact("Lisbon", 20, many=True), (), {("Lisbon", 20, math.inf)}),
    ],
)
def test_a_new_fact_ends_the_one_before(new: Fact, retired: tuple[int, ...], inserted: set[object]) -> None:
    change = plan(new, [PORTO])
    assert change.retire == retired
    assert spans(change.insert) == inserted


def test_the_same_again_adds_its_sources() -> None:
    old = replace(PORTO, sources=(1, 2), confidence=0.5)
    (merged,) = plan(fact("Porto", 12, sources=(2, 3), confidence=0.9), [old]).insert
    assert (merged.sources, merged.confidence, merged.valid_from) == ((1, 2, 3), 0.9, 10)


def test_a_doubtful_fact_does_not_end_a_sure_one() -> None:
    change = plan(fact("Lisbon", 20, confidence=0.3), [PORTO])
    assert change.retire == ()
    assert [one.many for one in change.insert] == [True]


times = st.integers(0, 20)
news = st.builds(
    lambda object_, start, length: fact(object_, start, start + length),
    st.sampled_from("abc"),
    times,
    st.integers(1, 20) | st.just(math.inf),
)


@given(st.lists(news, max_size=8))
def test_at_any_time_one_thing_is_true(told: list[Fact]) -> None:
    """The law behind the rules: whatever is told in whatever order, no two objects are true at once."""
    held: dict[int, Fact] = {}
    for number, new in enumerate(told):
        change = plan(new, list(held.values()))
        for row_id in change.retire:
            del held[row_id]
        for offset, one in enumerate(change.insert):
            held[100 * number + offset + 1] = replace(one, id=100 * number + offset + 1)
        assert all(one.valid_from < one.valid_to for one in held.values())
        for moment in range(45):
            true = [one for one in held.values() if one.valid_from <= moment < one.valid_to]
            assert len(true) <= 1
