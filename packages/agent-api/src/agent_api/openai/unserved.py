"""What OpenAI's requests may ask for and nothing here does: it is refused by name, for an answer without it would look like one with it.

Hints that change no promise (`user`, `metadata`, `service_tier`, `prediction`, cache keys) are not looked at.
"""

from typing import Protocol

from agent_api.errors import InvalidRequestError
from agent_core.json_types import JsonObject

LOGPROBS = "message.output_text.logprobs"


class _Penalties(Protocol):
    @property
    def presence_penalty(self) -> float | None: ...

    @property
    def frequency_penalty(self) -> float | None: ...


def penalties_of(request: _Penalties) -> JsonObject:
    """The penalties that a model asked directly is sent as they stand; none of 0, which is as good as none."""
    found = {
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
    }
    return {name: value for name, value in found.items() if value}


def check_unserved(asked: dict[str, object], advice: dict[str, str]) -> None:
    """Hold that nothing is asked for that nobody gives.

    Args:
        asked: What the request says, by the name of its field; empty or false: it does not ask.
        advice: For each field why it is refused, and what to do.

    Raises:
        InvalidRequestError: the first that is.
    """
    for field, value in asked.items():
        if value:
            raise InvalidRequestError(f"`{field}` is not served: {advice[field]}", param=field)
