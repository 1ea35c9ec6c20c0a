"""How a text names a value: whole, and in which other spellings. Pure text, of no run and no tool.

What the person wrote is read more freely than what anybody wrote, as only the person decides what stands there: a full
stop without the space behind it ends a sentence, and a name stands for the one address that has it.
"""

import re
from collections.abc import Iterable

_NOT_BEFORE, _NOT_AFTER = r"(?<![\w@+-])(?<!\w\.)", r"(?![\w@-]|[./?&=:#]\w)"
"""A value counts as named where it stands whole: `smith@x.example` is not named by `j.smith@x.example`."""
_SCHEME = re.compile(r"^https?://|/+$")
_WEB = re.compile(r"(?:(?i:https?)://|(?=(?i:www\.)))([^/?#\s]+)(?!\S*\s)")
_MAIL = re.compile(r"(?<![\w.+-])([\w.+-]+)@[\w-]+(?:\.[\w-]+)+")
_FULL_STOP = re.compile(r"(?<=[a-z0-9])\.(?=[A-Z][a-z]{2,30}[\s,])")
"""One that may end a sentence though no space follows: the next word is capitalised, something goes on behind it, and it
has three letters or more, as `www.shop.co.Uk` is one address.
"""
_ADDRESS_CHARS = 100
"""So far before a full stop an address is looked for."""
_GIVEN_NAME = re.compile(r"(?<=[\w,;] )[A-Z][a-z]{2,30}(?![\w@.-]*[\w@])")
"""A capitalised word within a sentence. At its beginning any word is, such as the verb `Mark`."""
_ENDING = re.compile(r"\w\.[a-z]\w{0,4}$", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\"|[“„«]([^“”„«»\n]+)[“”»]")
_APART = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:\.\d+)?(?![\w,]|\.\d)")
_AROUND = r"\s<>\"'()\[\]{}|`“”„«»，。、"  # noqa: RUF001  # full-width signs end an address too
"""What may stand around an address."""
_ENDS = r".,;:!?*_"
"""Signs that may stand behind an address, and at its end."""
DIGITS_OF_A_NAME = 3
"""Shorter numbers are in any text by chance."""


def plain(text: str) -> str:
    """Case and white space do not count."""
    return " ".join(text.casefold().split())


def names(text: str, value: str) -> bool:
    """Whether a text holds a value whole. Case, white space, how an address begins and a `/` at its end do not count."""
    return stands_in(plain(text), plain(value))


def stands_in(text: str, value: str) -> bool:
    """As `names`, of what is plain already."""
    bare = without_scheme(value)
    return bool(bare) and re.search(f"{_NOT_BEFORE}{re.escape(bare)}{_NOT_AFTER}", text) is not None


def is_web_address(value: str) -> bool:
    """Whether a value is an address to read from, and no other text such as what is searched for."""
    return _WEB.match(value) is not None


def may_be_address(value: str) -> bool:
    """Whether a value may be read as an address, also without its beginning, as `shop.example/offers`."""
    return not re.search(r"\s", value.strip()) and re.search(r"[./:]", value) is not None


def holds_link(text: str, address: str) -> bool:
    """Whether a text, as it was written, holds an address letter for letter and as a whole: its beginning is another one.

    A web address may have or lack one `/` at its end, and `https://` where the text has no beginning at all.
    """
    bare = address.removesuffix("/")
    before, after = f"(?:^|(?<=[{_AROUND}=,;*_]))", f"(?=/?[{_ENDS}]*(?:[{_AROUND}]|$))"
    forms = [bare, bare.removeprefix("https://")]
    return bool(bare) and any(re.search(f"{before}{re.escape(form)}{after}", text) for form in set(forms))


def addresses_in(text: str) -> set[str]:
    """What in a text may be opened."""
    words = (word.strip(f"{_ENDS}/") for word in re.split(f"[{_AROUND}]+", text))
    return {word for word in words if may_be_address(word)}


def holds_exactly(text: str, value: str) -> bool:
    """Whether a text, as it was written, holds a value letter for letter: in capitals or spaces much can be carried away.

    Of a web address the host may be in small letters, whatever the text has, and it may lack one `/` at its end.
    """
    found = _WEB.match(value)
    host, rest = (found[1], value[found.end() :]) if found else ("", value)
    hosts = f"(?i:{re.escape(host)})" if host == host.lower() else re.escape(host)
    bare = f"{hosts}{re.escape(rest.removesuffix('/') if host else rest)}"
    return bool(value) and re.search(f"{_NOT_BEFORE}{bare}{_NOT_AFTER}", text) is not None


def without_scheme(address: str) -> str:
    """A web address without its `https://` and the `/` at its end."""
    return _SCHEME.sub("", address)


def parted_sentences(text: str) -> str:
    """A person's text with the spaces that it lacks between an address and the next sentence."""

    def parted(stop: re.Match[str]) -> str:
        before = text[max(0, stop.start() - _ADDRESS_CHARS) : stop.start()]
        return ". " if "." in before.split()[-1] else "."

    return _FULL_STOP.sub(parted, text)


def called_by_name(said: str, address: str, known: Iterable[str]) -> bool:
    """Whether a person means a mail address by a name: `Mark` is `mark.davies@x.example` if no other known address has it.

    Args:
        said: The person's words as they were written; a name is capitalised and does not begin a sentence.
        address: The address, plain.
        known: Plain texts that hold all addresses the name may stand for.
    """
    one = _MAIL.fullmatch(address)
    if one is None:
        return False
    parts = set(_APART.split(one[1]))
    meant = {name.casefold() for name in _GIVEN_NAME.findall(said)} & parts
    others = [found for text in known for found in _MAIL.finditer(text) if found[0] != address]
    return any(all(name not in _APART.split(other[1]) for other in others) for name in meant)


def said_as(said: str, names_of_items: Iterable[str]) -> dict[str, str]:
    """The words in which a person named items, by the names that the items have.

    A name counts where it stands in quotation marks, where it is a file's name and stands with its ending, and where it is a
    number: others can guess a few plain words that a person will use, and call something so. Case, hyphens and
    underscores do not count, nor what is but a part of a longer name that another item has.
    """
    names_of_items = set(names_of_items)
    quoted = {_spelled(next(filter(None, found))) for found in _QUOTED.findall(said)}
    numbers = {float(one) for one in _NUMBER.findall(said) if sum(map(str.isdigit, one)) >= DIGITS_OF_A_NAME}
    named: dict[str, str] = {}
    rest = plain(said)
    for name in sorted(names_of_items, key=len, reverse=True):
        if _NUMBER.fullmatch(name):
            if float(name) in numbers:
                named[name] = str(float(name))
        elif _spelled(name) in quoted:
            named[name] = _spelled(name)
        elif _ENDING.search(name) and stands_in(rest, plain(name)):
            named[name] = _spelled(name)
            rest = rest.replace(plain(name), "|")
    return named


def _spelled(text: str) -> str:
    return _APART.sub(" ", text.casefold()).strip()
