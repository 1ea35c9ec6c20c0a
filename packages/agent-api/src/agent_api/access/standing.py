"""Whether what was set up with a key goes on while nobody is there: schedules and webhooks.

It goes on with the key that is in its place when it was rotated, and ends with that one: revoked, expired, or short of a scope.
"""

import msgspec

from agent_api.access.keys import ApiKey, KeyStore
from agent_api.errors import NotFoundError


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The key that something is done as, or why it is not done."""

    key: ApiKey | None = None
    trouble: str = ""
    """Empty: it may be done."""


def standing(keys: KeyStore, key_id: str, *, tenant: str, now: float, scope: str = "") -> Standing:
    """How it stands with what was set up with a key of a tenant; `scope` is one that it needs."""
    try:
        key = keys.standing(key_id, tenant=tenant)
    except NotFoundError:
        return Standing(trouble=f"its key {key_id} is not there any more")
    if key.revoked_at is not None:
        return Standing(trouble=f"its key {key.key_id} was revoked")
    if not key.is_valid(now):
        return Standing(trouble=f"its key {key.key_id} has expired")
    if scope and scope not in key.scopes:
        return Standing(trouble=f"its key {key.key_id} lacks the scope {scope}")
    return Standing(key=key)
