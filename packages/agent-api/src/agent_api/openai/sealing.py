"""What a client keeps for us between two requests: signed for its tenant, so that it comes back as it went. Pure but for the secret.

It is signed and not encrypted: the text is made from what the client itself has sent, so there is nothing in it to hide from
it. What another tenant was given, or what was changed on the way, is refused.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Protocol

from agent_api.errors import InvalidRequestError

_SIZE = hashlib.sha256().digest_size


class Opener(Protocol):
    """What opens sealed texts."""

    def open(self, sealed: str, *, param: str) -> str:
        """The text again; `param` is the field that an error names.

        Raises:
            InvalidRequestError: it is not what was given out here.
        """
        ...


class TenantSeal:
    """Signs texts for one tenant and checks them."""

    def __init__(self, secret: bytes, tenant: str) -> None:
        """`secret`: 32 bytes of this daemon, for this purpose alone."""
        self._key = hmac.digest(secret, tenant.encode(), "sha256")

    def close(self, text: str) -> str:
        """The text in a form that is sent back unread."""
        body = text.encode()
        return base64.urlsafe_b64encode(hmac.digest(self._key, body, "sha256") + body).decode()

    def open(self, sealed: str, *, param: str) -> str:
        """The text again.

        Raises:
            InvalidRequestError: it was changed, or was given to another tenant.
        """
        try:
            raw = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not hmac.compare_digest(raw[:_SIZE], hmac.digest(self._key, raw[_SIZE:], "sha256")):
            raise InvalidRequestError("this was not given out by this daemon to this tenant", param=param)
        return raw[_SIZE:].decode()
