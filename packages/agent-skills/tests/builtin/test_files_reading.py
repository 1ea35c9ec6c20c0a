"""Which file or folder a request means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.tools import ToolExample
from agent_skills.builtin.files_reading import MAX_PATHS, FileReader, FolderReader

TREE = (
    ("docs", True),
    ("docs/old", True),
    ("music", True),
    ("notes.txt", False),
    ("to-do list.md", False),
    ("docs/report.md", False),
    ("docs/old/report.md", False),
    ("docs/old/budget_2024.csv", False),
    ("music/song.txt", False),
    ("Makefile", False),
)


def walk():
    return iter(TREE)


def files(text):
    understood = FileReader(walk).read(text)
    return None if understood is None else list(understood.values["path"])


def folders(text):
    understood = FolderReader(walk).read(text)
    return None if understood is None else list(understood.values["path"])


NAMED = [
    ("read notes.txt", ["notes.txt"]),
    ("read NOTES.TXT", ["notes.txt"]),
    ("open docs/old/report.md", ["docs/old/report.md"]),
    ("open report.md", ["docs/report.md", "docs/old/report.md"]),
    ("compare notes.txt and song.txt", ["notes.txt", "music/song.txt"]),
    ("read missing.txt", ["missing.txt"]),
    ("show Makefile", ["Makefile"]),
    ("show to-do list.md", ["to-do list.md"]),
]


@pytest.mark.parametrize(("text", "paths"), NAMED)
def test_files_named_in_full(text, paths):
    assert set(files(text)) == set(paths) or files(text)[0] == paths[0]


BY_WORDS = [
    ("what do my notes say", "notes.txt"),
    ("open the note", "notes.txt"),
    ("what is in the budget", "docs/old/budget_2024.csv"),
    ("play the song", "music/song.txt"),
    ("the old report please", "docs/old/report.md"),
]


@pytest.mark.parametrize(("text", "best"), BY_WORDS)
def test_files_meant_by_their_stem(text, best):
    assert files(text)[0] == best


def test_a_file_that_is_known_speaks_louder_than_one_that_is_not():
    reader = FileReader(walk)
    signs = [reader.read(text).sign for text in ("read notes.txt", "read missing.txt", "my notes")]
    assert signs == sorted(signs, reverse=True)
    assert len(set(signs)) == 3


@pytest.mark.parametrize("text", ["hello there", "", "what is 3 + 4", "the"])
def test_no_file_is_meant(text):
    assert files(text) is None


FOLDERS = [
    ("list my files", ["."]),
    ("what is in docs", ["docs", "docs/old", "."]),
    ("ls docs/old", ["docs/old", "."]),
    ("the music folder", ["music", "."]),
    ("show the oceans", ["."]),
]


@pytest.mark.parametrize(("text", "paths"), FOLDERS)
def test_folders(text, paths):
    found = folders(text)
    assert found[0] == paths[0]
    assert set(found) <= set(paths)
    assert found[-1] == "."


def test_a_request_that_names_a_file_is_about_no_folder():
    assert folders("read docs/report.md") is None


def test_kinds_of_folders_go_with_the_values():
    understood = FolderReader(walk).read("what is in docs")
    assert len(understood.kinds["path"]) == len(understood.values["path"])
    assert understood.kinds["path"][-1] == "."
    assert (
        FolderReader(walk).read("which files are there").sign > FolderReader(walk).read("hello").sign == 0.0
    )


def test_at_most_so_many_paths():
    many = [(f"many-{number}.txt", False) for number in range(200)]
    assert len(FileReader(lambda: iter(many)).read("many").values["path"]) == MAX_PATHS
    some = [(f"many-{number}", True) for number in range(200)]
    assert len(FolderReader(lambda: iter(some)).read("many").values["path"]) == MAX_PATHS


def test_names_are_masked_alike_in_requests_and_examples():
    file_reader, folder_reader = FileReader(walk), FolderReader(walk)
    read = file_reader.example(ToolExample(utterance="show me my diary", arguments={"path": "diary.txt"}))
    assert read.masked == file_reader.mask("show me my notes")
    read = file_reader.example(ToolExample(utterance="open plan.txt", arguments={"path": "plan.txt"}))
    assert read.masked == file_reader.mask("open docs/report.md")
    example = ToolExample(utterance="what is in images", arguments={"path": "images"})
    read = folder_reader.example(example)
    assert read.masked == folder_reader.mask("what is in music")
    assert read.shot == example
    here = folder_reader.example(ToolExample(utterance="ls", arguments={"path": "."}))
    assert here.kinds != read.kinds


def test_words_that_name_nothing_are_not_masked():
    assert FileReader(walk).mask("tell me the weather") == "tell me the weather"


@given(st.text(max_size=80))
def test_any_text_can_be_read(text):
    for reader in (FileReader(walk), FolderReader(walk)):
        understood = reader.read(text)
        assert understood is None or understood.values["path"]
        reader.mask(text)
