"""Secrets: given to a skill by name for one call, and never by its environment. Their values are kept out of results.

A skill declares the names; the operator grants them to its plugin (`policy`); the runner looks them up here at each call.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

SecretSource: TypeAlias = Callable[[str], str | None]
"""The value of a secret, or None where there is none of that name. Asked at each call, so a new value counts at once."""

MIN_MASKED_CHARS = 4
"""Shorter values are everywhere by chance, and masking them would only say what they are."""
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
        """The text with the values replaced by their names."""
        for name, value in sorted(self._values.items(), key=lambda item: -len(item[1])):
            if len(value) >= MIN_MASKED_CHARS:
                text = text.replace(value, f"[secret {name}]")
        return text


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
