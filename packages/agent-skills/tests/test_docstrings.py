import pytest

from agent_skills.docstrings import read_docstring

CASES = {
    "nothing": (None, "", {}),
    "one line": ("Add.", "Add.", {}),
    "sections are no description": (
        "Add.\n\n    More.\n\n    Returns:\n        int: x\n    ",
        "Add.\n\nMore.",
        {},
    ),
    "arguments": (
        "Add.\n\n    Args:\n        a: The first.\n        b (int): The second,\n            on two lines.\n        *c: rest",
        "Add.",
        {"a": "The first.", "b": "The second, on two lines.", "c": "rest"},
    ),
    "a colon in the text that continues": (
        "Add.\n\n    Args:\n        a: Such as\n            x: y\n        b: B",
        "Add.",
        {"a": "Such as x: y", "b": "B"},
    ),
    "text on the next line": (
        "Add.\n\n    Args:\n        a:\n            The first.",
        "Add.",
        {"a": "The first."},
    ),
    "what follows is not an argument": (
        "Add.\n\n    Args:\n        a: A\n\n    Raises:\n        E: never",
        "Add.",
        {"a": "A"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_docstrings_are_read(case):
    docstring, description, arguments = CASES[case]
    assert read_docstring(docstring) == (description, arguments)
