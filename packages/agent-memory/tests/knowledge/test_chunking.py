"""Documents in units: stretches of the text, none lost, none too long, each under its headings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_memory.knowledge.chunking import units
from agent_memory.knowledge.documents import Document
from agent_memory.knowledge.domains import BUILT_IN, Chunking
from agent_memory.knowledge.parsing import plain


def cut(document, **chunking):
    return units(document, Chunking(**chunking), source="s", digest="d", metadata={})


TEXTS = st.lists(
    st.sampled_from(
        ["# A\n", "## B\n", "word ", "a sentence. ", "\n\n", "\n", "x" * 70, "1.2 Clause\n", "é", "  "]
    ),
    max_size=120,
).map("".join)


@settings(max_examples=60)
@given(TEXTS, st.sampled_from(["sections", "clauses", "symbols", "tables"]), st.integers(3, 60))
def test_every_word_is_in_exactly_one_unit(text, strategy, words):
    document = plain.from_markdown(text)
    made = cut(document, strategy=strategy, words=words)
    covered = [False] * len(text)
    for number, unit in enumerate(made):
        assert unit.ordinal == number
        assert unit.text == text[unit.start : unit.end]
        assert unit.text.strip() == unit.text != ""
        assert unit.text in unit.window or "_" in unit.text
        for place in range(unit.start, unit.end):
            assert not covered[place]
            covered[place] = True
    assert not [
        sign for sign, is_there in zip(text, covered, strict=True) if not is_there and not sign.isspace()
    ]


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "word " * 40_000, "A sentence of words. " * 5_000, "\n" * 5_000 + "x"]
)
def test_what_has_no_structure_is_cut_all_the_same(text):
    made = cut(Document(text=text, kind="text"), words=100)
    assert max(len(unit.text) for unit in made) <= 100 * 6 + 1
    assert sum(len(unit.text.replace(" ", "")) for unit in made) == len(text.replace(" ", "").strip())


def test_sections_stand_under_their_headings_and_do_not_mix():
    document = plain.from_markdown("# Pump\n\nIntro.\n\n## Setup\n\nTurn it on.\n\n# Valve\n\nOpen it.\n")
    made = cut(document)
    assert [unit.heading for unit in made] == ["Pump", "Pump > Setup", "Valve"]
    assert made[1].lead.startswith("Pump Pump > Setup")
    assert "Intro." in made[1].window
    assert "Intro." not in made[1].text


def test_clauses_of_a_contract_are_units():
    text = "Preamble.\n\nArticle 1 Parties\nThe parties are two.\n\n1.1 The tenant pays.\n\n1.2 The landlord repairs.\n"
    made = cut(Document(text=text, kind="text"), strategy="clauses")
    assert [unit.text.split("\n")[0][:11] for unit in made] == [
        "Preamble.",
        "Article 1 P",
        "1.1 The ten",
        "1.2 The lan",
    ]


def test_rows_stay_whole_and_have_their_header():
    rows = "".join(f"row {number},{number * 100}\n" for number in range(100))
    made = cut(plain.table(f"name,amount\n{rows}".encode(), "a.csv"), strategy="tables", words=20)
    assert all(line.startswith("row ") for unit in made for line in unit.text.splitlines())
    assert all("name,amount" in unit.window for unit in made)
    assert sum(len(unit.text.splitlines()) for unit in made) == 100


def test_a_page_is_where_the_unit_begins():
    document = Document(text="One.\n\nTwo.\n\nThree.", kind="pdf", pages=(0, 6, 12))
    assert [unit.page for unit in cut(document, words=1)] == [1, 2, 3]


def test_every_domain_can_cut():
    for domain in BUILT_IN.values():
        assert units(
            Document(text="Some words.", kind="text"),
            domain.chunking,
            source="s",
            digest="d",
            metadata={"a": 1},
        )[0].metadata == {"a": 1}


def test_what_stands_beside_a_unit_is_searched_with_it_where_no_spaces_part_words():
    first, second = "長城在北京的北邊。" * 12, "故宮在北京的中心。" * 12
    made = cut(Document(text=f"{first}\n\n{second}", kind="text"), words=20, neighbours=5)
    assert any("長城" in unit.window and "故宮" in unit.window for unit in made)
