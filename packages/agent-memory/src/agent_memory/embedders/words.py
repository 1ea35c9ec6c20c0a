"""Cuts texts into the rows of a static table. Knows no vectors and no files.

A word is a row of its own where the vocabulary has it; else the longest pieces from the left, those behind the first
written `##piece` (WordPiece, Devlin et al. 2018). Names in camel case are parted, so that code and prose meet.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import chain

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\dA-Za-z_]+")
_REMEMBERED = 200_000
"""Words whose rows are kept: some 30 MB at most."""
_LONGEST_WORD = 64
"""Longer runs of letters are data, not words; they are cut here, so that no text costs more than its length."""


def words_of(text: str) -> list[str]:
    """The words of a text as they stand, without accents."""
    if not text.isascii():
        parted = unicodedata.normalize("NFD", text)
        text = "".join(sign for sign in parted if not unicodedata.combining(sign))
    return _WORD.findall(text)


def parts_of(word: str) -> list[str]:
    """A word in lower case; one in camel case as several."""
    return [part.lower() for part in _PART.findall(word)]


def pieces_of(part: str, index: Mapping[str, int]) -> list[int]:
    """The rows of one part: one where it is known, else those of its longest known pieces."""
    if part in index:
        return [index[part]]
    part, rows, start = part[:_LONGEST_WORD], list[int](), 0
    while start < len(part):
        for end in range(len(part), start, -1):
            row = index.get(part[start:end] if start == 0 else f"##{part[start:end]}")
            if row is not None:
                rows.append(row)
                start = end
                break
        else:
            start += 1
    return rows


class Vocabulary(dict[str, tuple[int, ...]]):
    """The rows of a word, remembered: a dictionary, so that a known word costs one look-up."""

    def __init__(self, entries: Sequence[str]) -> None:
        super().__init__()
        self._index = {entry: row for row, entry in enumerate(entries)}

    def __missing__(self, word: str) -> tuple[int, ...]:
        rows = tuple(row for part in parts_of(word) for row in pieces_of(part, self._index))
        if len(self) >= _REMEMBERED:
            self.clear()
        self[word] = rows
        return rows

    def rows(self, text: str) -> list[int]:
        """The rows of a text, in its order; empty where it holds no word."""
        return list(chain.from_iterable(map(self.__getitem__, words_of(text))))
