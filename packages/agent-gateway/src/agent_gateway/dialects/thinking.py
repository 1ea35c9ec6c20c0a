"""How much a model is to think, from our words to each family's. Pure."""

from collections.abc import Sequence

from agent_core.chat import ModelRequest

_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "max": 32_768}
"""Tokens of thought for families that are told a number; 1,024 is the least that Anthropic takes."""


def effort(request: ModelRequest, known: Sequence[str]) -> str | None:
    """The word of `known`, the least first, that is nearest to what `request` asks for; None: it asks for nothing."""
    asked = request.effort
    if asked is None and request.reasoning_tokens is not None:
        within = [word for word, tokens in _BUDGETS.items() if tokens <= request.reasoning_tokens]
        asked = within[-1]  # type: ignore[assignment]
    if asked is None or not known:
        return None
    place = _ORDER.index(asked)
    return min(known, key=lambda word: (abs(_ORDER.index(word) - place), -_ORDER.index(word)))


def budget(request: ModelRequest) -> int | None:
    """The tokens of thought that `request` allows; None: it says nothing of them."""
    if request.reasoning_tokens is not None:
        return request.reasoning_tokens
    return None if request.effort is None else _BUDGETS[request.effort]
