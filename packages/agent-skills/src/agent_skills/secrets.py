"""Secrets: given to a skill by name for one call, and never by its environment. Their values are kept out of results.

A skill declares the names; the operator grants them to its plugin (`policy`); the runner looks them up here at each call.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, quote_plus

SecretSource: TypeAlias = Callable[[str], str | None]
"""The value of a secret, or None where there is none of that name. Asked at each call, so a new value counts at once."""

MIN_MASKED_CHARS = 4
"""Shorter values are everywhere by chance, and masking them would only say what they are."""
_IN_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_NAME = re.compile(r"[a-z0-9_]{1,64}")


class Secrets(Mapping[str, str]):
    """The secrets of one call. A parameter annotated with this is filled in by the runner."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        """The value. Raises `KeyError` for what was not declared, or not granted."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<secrets {', '.join(self._values) or 'none'}>"

    __str__ = __repr__

    def mask(self, text: str) -> str:
        """The text with the values replaced by their names, also as servers write them that repeat a request: within JSON,
        HTML or an address, and in base64.
        """
        written = {
            form: name
            for name, value in self._values.items()
            if len(value) >= MIN_MASKED_CHARS
            for form in _forms(value)
        }
        for form in sorted(written, key=len, reverse=True):
            text = text.replace(form, f"[secret {written[form]}]")
        return text


def _forms(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    urls = {quote(value), quote(value, safe=""), quote_plus(value)}
    texts = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        value.translate(_IN_HTML),
    }
    return urls | texts | {encoded, encoded.rstrip("="), base64.urlsafe_b64encode(value.encode()).decode()}


NO_SECRETS = Secrets({})


def is_secret_name(name: str) -> bool:
    """Lower case, digits and `_`, at most 64: a name that every source can hold."""
    return _NAME.fullmatch(name) is not None


def of_this_machine(name: str) -> str | None:
    """The value as systemd gives it (`LoadCredential=agent_secret_NAME:...`), else of the variable `AGENT_SECRET_NAME`."""
    if not is_secret_name(name):
        return None
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder:
        try:
            return (Path(folder) / f"agent_secret_{name}").read_text(encoding="utf-8").rstrip("\n")
        except OSError:
            pass
    return os.environ.get(f"AGENT_SECRET_{name.upper()}")
