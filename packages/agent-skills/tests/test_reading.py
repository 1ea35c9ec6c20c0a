from agent_core.tools import ToolExample
from agent_skills.reading import PlainReader, Understood

EXAMPLE = ToolExample(utterance="Say Hi", arguments={"word": "hi"})


def test_a_plain_reader_changes_nothing():
    reader = PlainReader()
    assert reader.read("Any Text") == Understood(request="Any Text")
    assert reader.mask("Any Text") == "Any Text"
    read = reader.example(EXAMPLE)
    assert (read.shot, read.masked, read.kinds) == (EXAMPLE, "Say Hi", {})


def test_choices_are_values_and_an_argument_without_any_stays_open():
    reader = PlainReader(lambda text: {"word": text.split(), "none": []})
    assert reader.read("a b").values == {"word": ["a", "b"]}


def test_what_is_understood_says_nothing_by_itself():
    understood = Understood(request="x")
    assert (understood.sign, understood.values, understood.kinds, understood.log_weights) == (0.0, {}, {}, {})
