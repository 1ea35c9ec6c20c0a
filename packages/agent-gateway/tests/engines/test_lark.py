"""GBNF in Lark's words; whether both mean the same is tried with the engine itself, under `-m engines`."""

import pytest

from agent_gateway.engines.lark import lark_choice, lark_grammar

CASES = {
    "a literal": ('root ::= "yes"', 'start: "yes"'),
    "quotes and breaks": (r'root ::= "a\"b\n\x41\u00e4"', r'start: "a\"b\nAä"'),
    "either": ('root ::= "a" | "b"', 'start: "a" | "b"'),
    "a set": ("root ::= [0-9+*/().-]{1,24}", r"start: /[0-9+*\/().-]/ {1,24}"),
    "all but": (r"root ::= [^\n]{1,120}", r"start: /[^\u{a}]/ {1,120}"),
    "how often": ('root ::= "-"? [0-9]+ "x"*', 'start: "-"? /[0-9]/+ "x"*'),
    "a group": ('root ::= "1" ("." [0-9]{1,10})?', 'start: "1" ( "." /[0-9]/ {1,10} )?'),
    "rules": ('root ::= Two-Words\nTwo-Words ::= "a"', 'start: r_two_words\nr_two_words: "a"'),
    "a remark": ('root ::= "a" # not this "b"', 'start: "a"'),
    "over lines": ('root ::= "a" |\n  "b"\n', 'start: "a" | "b"'),
    "anything": ("root ::= .", r"start: /[\s\S]/"),
}


@pytest.mark.parametrize(("gbnf", "lark"), CASES.values(), ids=CASES.keys())
def test_a_grammar(gbnf: str, lark: str) -> None:
    assert lark_grammar(gbnf) == lark


@pytest.mark.parametrize(
    ("gbnf", "words"),
    [
        ("", "rules of the form"),
        ('"a"', "rules of the form"),
        ('::= "a"', "rules of the form"),
        ('other ::= "a"', "a rule `root`"),
        ("root ::= nothing | else", "does not have: else, nothing"),
        ('root ::= "a', "at 9 is no part"),
        ("root ::= a;", "';' at 10"),
    ],
)
def test_what_is_none(gbnf: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lark_grammar(gbnf)


def test_a_choice() -> None:
    assert lark_choice(["yes", 'no "x"\n']) == 'start: "yes" | "no \\"x\\"\\n"'
