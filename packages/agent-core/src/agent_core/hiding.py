"""Whether a text holds a secret in another writing: spaced out, backwards, in hex, base32, base64 or percent signs. Pure.

That catches what a page can ask a model for in a sentence. What no list catches is a writing of one's own; so a destination
is judged by who it is, and only besides by what it gets.
"""

import base64
import re

MIN_CHARS = 6
"""Shorter secrets are looked for as they are alone: without their signs they are in any text by chance."""
_SIGNS = re.compile(r"[\W_]+")
_CERTAIN = {"base64": (4, 3), "base32": (8, 5)}
"""How many characters stand for how many bytes."""


def holds_hidden(text: str, secret: str) -> bool:
    """Whether `text` holds `secret` in one of the writings. Case and all signs but letters and digits do not count."""
    squeezed = _squeezed(text)
    return any(form in squeezed for form in _forms(secret))


def _forms(secret: str) -> frozenset[str]:
    if len(_squeezed(secret)) < MIN_CHARS:
        return frozenset()
    raw = secret.encode()
    written = {secret, secret[::-1], raw.hex(), raw[::-1].hex(), "".join(f"%{byte:02x}" for byte in raw)}
    written |= {_inner(text, before, "base64") for text in (raw, raw[::-1]) for before in range(3)}
    written |= {_inner(text, before, "base32") for text in (raw, raw[::-1]) for before in range(5)}
    return frozenset(form for one in written if len(form := _squeezed(one)) >= MIN_CHARS)


def _inner(raw: bytes, before: int, code: str) -> str:
    """What is certain of an encoded text with so many unknown bytes before it, and any behind it."""
    encoded = (base64.b64encode if code == "base64" else base64.b32encode)(b"\0" * before + raw).decode()
    chars, size = _CERTAIN[code]
    first = -(-before * chars // size)
    last = (before + len(raw)) * 8 // (8 * size // chars)
    return encoded[first:last]


def _squeezed(text: str) -> str:
    return _SIGNS.sub("", text).casefold()
