"""Where a tenant's tables are: a place of its own for every name, whatever signs it is made of."""

import re
from pathlib import Path
from urllib.parse import quote

from agent_core.errors import ConfigurationError


def tenant_address(where: str | Path, tenant: str) -> str:
    """Where a tenant's tables are: different for different tenants, and never outside of `where`.

    Raises:
        ConfigurationError: the tenant has no name, or one that is longer than a folder's may be.
    """
    name = re.sub(r"[.~]", lambda found: f"%{ord(found[0]):02X}", quote(tenant, safe=""))
    if not 0 < len(name) <= 200:
        raise ConfigurationError("a knowledge base needs the name of a tenant, of 1 to 200 characters")
    if "://" in str(where):
        # The storages read %2F in an address as a slash: one tenant would lie within another. No name has a raw `=`.
        name = name.replace("%", "=")
    return f"{str(where).rstrip('/')}/{name}"
