"""Signatures as Standard Webhooks 1.0 has them (standardwebhooks.com): HMAC-SHA256 over id, time and body. Pure."""

import base64
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"


def shown_secret(secret: bytes) -> str:
    """A secret as it is given to who verifies."""
    return PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: str, at: float, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """The headers of one attempt: a signature for each secret that is valid at that time, the newest first."""
    timestamp = str(int(at))
    signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
    signatures = [
        f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}" for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }
