"""What a client keeps for a stateless server between two rounds: sealed, so that it comes back as it went. Pure but for the key."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec

from agent_core.json_types import JsonObject
from agent_skills.mcp.errors import McpRefusedError
from agent_skills.mcp.wire import Code

_ANSWERS = frozenset({"_meta", "inputResponses", "requestState"})
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Seal:
    """Signs state and checks it. A sealed state holds for one request: the same method with the same parameters."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes, the same on every node that may get the next round."""
        self._key = key

    def close(self, state: JsonObject, method: str, params: JsonObject) -> str:
        """The state as text for a client."""
        body = _ENCODER.encode(state)
        return base64.urlsafe_b64encode(self._mac(body, method, params) + body).decode()

    def open(self, text: str, method: str, params: JsonObject) -> dict[str, Any]:
        """The state again.

        Raises:
            McpRefusedError: it was changed, or belongs to another request.
        """
        size = hashlib.sha256().digest_size
        try:
            raw = base64.urlsafe_b64decode(text.encode())
            # The decoder skips what is no base64: the text must be the one way to write these bytes.
            is_whole = base64.urlsafe_b64encode(raw).decode() == text
            if is_whole and hmac.compare_digest(raw[:size], self._mac(raw[size:], method, params)):
                return msgspec.json.decode(raw[size:], type=dict[str, Any])
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            pass
        raise McpRefusedError(
            Code.INVALID_PARAMS, "requestState is not what this server gave out for this request"
        )

    def _mac(self, body: bytes, method: str, params: JsonObject) -> bytes:
        asked = {key: value for key, value in params.items() if key not in _ANSWERS}
        return hmac.digest(self._key, _ENCODER.encode([method, asked]) + b"\0" + body, "sha256")
