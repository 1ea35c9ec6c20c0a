"""From text to the terms that full text is matched by: folded, stemmed, without words that say nothing. Pure.

The stems are Snowball's (https://snowballstem.org), through PyStemmer. Irregular forms come first, for no stemmer knows
that "went" is "go", and people ask "when did she go" about "I went".
"""

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import cast

import Stemmer

_FORM = 2
"""Raised when the terms of a text change: what was indexed before is then indexed anew."""
_WORDS = re.compile(r"[^\W_]+")
_POSSESSIVE = re.compile("['\u2019]s\\b")
_UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # Chinese, Japanese, Korean
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"  # Thai, Lao, Burmese, Khmer
)
"""Scripts whose words are not parted by spaces (Hangul is, and is agglutinative): pairs of signs stand for words."""

_STOP = frozenset(
    """a about am an and any are aren as at be been being but by can could d did didn do does doesn doing don for from
    had has have having he her hers him his how i if in into is isn it its itself just ll m me my no not of on or our
    ours re s she should so some t than that the their them then there these they this those to too us ve was wasn we
    were weren what when where which while who whom why will with would you your yours""".split()  # noqa: SIM905  # words, not a list of quotes
)

_IRREGULAR = {
    form: verb
    for verb, *forms in (
        line.split()
        for line in """
        become became|begin began begun|break broke broken|bring brought|build built|buy bought|catch caught
        choose chose chosen|come came|deal dealt|draw drew drawn|dream dreamt|drink drank drunk|drive drove driven
        eat ate eaten|fall fell fallen|feed fed|feel felt|fight fought|find found|fly flew flown|forget forgot forgotten
        forgive forgave forgiven|freeze froze frozen|get got gotten|give gave given|go went gone|grow grew grown
        hang hung|hear heard|hide hid hidden|hold held|keep kept|know knew known|lay laid|lead led|learn learnt
        leave left|lend lent|lie lain|light lit|lose lost|make made|mean meant|meet met|pay paid|ride rode ridden
        ring rang rung|rise rose risen|run ran|say said|see saw seen|seek sought|sell sold|send sent|shake shook shaken
        shine shone|shoot shot|show shown|shrink shrank shrunk|sing sang sung|sink sank sunk|sit sat|sleep slept
        speak spoke spoken|spend spent|stand stood|steal stole stolen|stick stuck|strike struck|swear swore sworn
        swim swam swum|take took taken|teach taught|tear tore torn|tell told|think thought|throw threw thrown
        understand understood|wake woke woken|wear wore worn|win won|wind wound|write wrote written
        child children|foot feet|knife knives|leaf leaves|life lives|man men|mouse mice|person people|tooth teeth
        wife wives|woman women|good better best|bad worse worst""".replace("\n", "|").split("|")
        if line.strip()
    )
    for form in forms
}


class Analyzer:
    """Turns texts of one language into terms.

    `language`: a name that Snowball knows, such as `english` or `german`. Other languages than English keep their stop
    words; how rare a term is weighs it anyway.
    """

    def __init__(self, language: str = "english") -> None:
        self.name = f"{language} {_FORM}"
        """What is recorded where its terms are kept: terms of another name do not meet these."""
        stem = cast("Callable[[str], str]", Stemmer.Stemmer(language).stemWord)  # pyright: ignore[reportUnknownMemberType]
        self._stem = functools.lru_cache(maxsize=50_000)(stem)
        english = language == "english"
        self._stop = _STOP if english else frozenset[str]()
        self._irregular = _IRREGULAR if english else dict[str, str]()

    def terms(self, text: str) -> list[str]:
        """The terms of `text`, in order, with repetitions."""
        folded = _POSSESSIVE.sub("", _folded(text))
        terms: list[str] = []
        for word in (_WORDS if folded.isascii() else _words_with_marks()).findall(folded):
            if word in self._stop:
                continue
            if not word.isascii() and _UNSPACED.search(word):
                terms += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
            else:
                terms.append(self._stem(self._irregular.get(word, word)))
        return terms


def _folded(text: str) -> str:
    """Lower case and without accents."""
    text = text.casefold()
    if text.isascii():
        return text
    parted = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(sign for sign in parted if not unicodedata.combining(sign)))


@functools.cache
def _words_with_marks() -> re.Pattern[str]:
    """Words of any script: the vowels of many are marks, which are no letters to `re`, and yet end no word."""
    signs = map(chr, range(0x300, 0x10000))
    marks = (sign for sign in signs if unicodedata.category(sign) in {"Mn", "Mc"})
    return re.compile(rf"[^\W_](?:[^\W_]|[{''.join(marks)}])*")
