"""What the file skills read in a request: the paths of the workspace that its words may mean."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from agent_core.tools import ToolExample
from agent_skills.reading import ReadExample, Understood
from agent_skills.similarity import FILE_NAME

ARGUMENT = "path"
HERE = "."
MAX_PATHS = 50
"""Paths that a model is given to choose from."""
SIGN_OF_FILE = 1.0
SIGN_OF_FILE_NAME = 0.3
"""Of a name that is no file of the workspace."""
SIGN_OF_KNOWN_FILE = 0.05
SIGN_OF_FOLDER = 0.1

Walk = Callable[[], Iterable[tuple[str, bool]]]
"""The paths of the workspace, each with whether it is a folder."""

_FOLDER, _STEM, _FILE = "ffolder", "sstem", " a.txt "
_STOP_WORDS = frozenset(
    [
        "the",
        "a",
        "an",
        "my",
        "in",
        "of",
        "to",
        "is",
        "me",
        "file",
        "files",
        "folder",
        "directory",
        "what",
        "show",
        "read",
        "open",
        "for",
        "and",
        "txt",
        "md",
        "csv",
        "py",
        "test",
    ]
)
_ABOUT_FILES = re.compile(r"\b(?:files?|folders?|director(?:y|ies)|documents?|workspace)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


class FileReader:
    """Reads which file is meant: by its path, its name, or words of it."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def read(self, text: str) -> Understood | None:
        """The files that may be meant. A file that is named and does not exist is one: the skill says so."""
        paths = [path for path, is_folder in self._walk() if not is_folder]
        mentioned = FILE_NAME.findall(text)
        if mentioned:
            spaced = [path for path in paths if " " in path and _stands_in(text, path)]
            known = spaced or [path for path in paths for name in mentioned if _is_named(path, name)]
            values = list(dict.fromkeys(known or mentioned))
            sign = SIGN_OF_FILE if known else SIGN_OF_FILE_NAME
            return Understood(request=text, sign=sign, values={ARGUMENT: values[:MAX_PATHS]})
        found = _meant(text, paths)
        return Understood(request=text, sign=SIGN_OF_KNOWN_FILE, values={ARGUMENT: found}) if found else None

    def example(self, example: ToolExample) -> ReadExample:
        """The example; masked by the name that it is about."""
        path = str(example.arguments[ARGUMENT])
        return ReadExample(shot=example, masked=_masked(example.utterance, folders=(), files=(path,)))

    def mask(self, text: str) -> str:
        """The text with the workspace's names made equal, so that the wording around them decides."""
        return _mask_by(self._walk(), text)


class FolderReader:
    """Reads which folder is meant; the workspace itself always may be."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def read(self, text: str) -> Understood | None:
        """The folders that may be meant; None where the request names a file."""
        if FILE_NAME.search(text):
            return None
        folders = [path for path, is_folder in self._walk() if is_folder]
        found = _folders(text, folders)[: MAX_PATHS - 1]
        is_about = bool(found) or _ABOUT_FILES.search(text) is not None
        return Understood(
            request=text,
            sign=SIGN_OF_FOLDER if is_about else 0.0,
            values={ARGUMENT: [*found, HERE]},
            kinds={ARGUMENT: [*(_FOLDER for _ in found), HERE]},
        )

    def example(self, example: ToolExample) -> ReadExample:
        """The example; masked by the folder that it is about."""
        path = str(example.arguments[ARGUMENT])
        folders = () if path == HERE else (path,)
        return ReadExample(
            shot=example,
            masked=_masked(example.utterance, folders=folders, files=()),
            kinds={ARGUMENT: _FOLDER if folders else HERE},
        )

    def mask(self, text: str) -> str:
        """As `FileReader.mask`."""
        return _mask_by(self._walk(), text)


def _mask_by(paths: Iterable[tuple[str, bool]], text: str) -> str:
    walked = list(paths)
    folders = [path for path, is_folder in walked if is_folder]
    files = [path for path, is_folder in walked if not is_folder]
    return _masked(text, folders=folders, files=files)


def _masked(text: str, *, folders: Sequence[str], files: Sequence[str]) -> str:
    names = {part.lower() for path in folders for part in (path, PurePosixPath(path).name)}
    stems = {word for path in files for word in _words(PurePosixPath(path).stem)}
    text = FILE_NAME.sub(_FILE, text)

    def slot(match: re.Match[str]) -> str:
        word = match.group().lower()
        if word in names:
            return _FOLDER
        return _STEM if word not in _STOP_WORDS and _singular(word) in stems else match.group()

    return _LETTERS.sub(slot, text)


def _is_named(path: str, name: str) -> bool:
    return path.lower() == name.lower() or path.lower().endswith("/" + name.lower())


def _stands_in(text: str, path: str) -> bool:
    """Whether a path, or its last part, is in a text as it stands: `FILE_NAME` knows no spaces."""
    return any(
        " " in name and re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])", text, re.IGNORECASE)
        for name in (path, PurePosixPath(path).name)
    )


def _folders(text: str, folders: Sequence[str]) -> list[str]:
    """The folders that share a word with the text; those named in full alone, if there are any."""
    said = _words(text)
    found = [path for path in folders if _words(path) & said]
    named = [
        path for path in found if re.search(rf"(?<![\w/]){re.escape(path)}(?![\w/]*\w)", text, re.IGNORECASE)
    ]
    return [path for path in named if not any(one.startswith(path + "/") for one in named)] or found


def _meant(text: str, paths: Sequence[str]) -> list[str]:
    """The files named in full, else those whose names share words with the text, best first."""
    named = [
        path for path in paths if re.search(rf"(?<![\w/.-]){re.escape(path)}(?![\w/-])", text, re.IGNORECASE)
    ]
    if named:
        return sorted(named, key=len, reverse=True)[:MAX_PATHS]
    scores = _likeness(text, paths)
    best = max(scores.values(), default=0.0)
    close = [path for path, score in scores.items() if score >= best * 0.6]
    return sorted(close, key=lambda path: (-scores[path], len(path)))[:MAX_PATHS]


def _likeness(text: str, paths: Sequence[str]) -> Mapping[str, float]:
    said = _words(text)
    joined = "".join(_WORD.findall(text.lower()))
    scores: dict[str, float] = {}
    for path in paths:
        stem = PurePosixPath(path).stem
        name, everything = _words(stem), _words(path)
        shared = 2 * len(said & name) + len(said & (everything - name))
        if not shared and len(stem) > 4 and re.sub(r"[\W_]", "", stem.lower()) in joined:
            shared = 1
        if shared:
            scores[path] = shared + len(said & name) / (len(name) or 1)
    return scores


def _words(text: str) -> set[str]:
    return {_singular(word.lower()) for word in _WORD.findall(text) if word.lower() not in _STOP_WORDS}


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
