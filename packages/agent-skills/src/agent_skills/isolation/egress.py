"""Which hosts a sandbox may reach. Data; `egress_proxy` holds a sandbox to it."""

import msgspec

PORT = 3128
"""Where a sandbox listens in its own network."""


class Egress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which hosts a sandbox may reach."""

    hosts: tuple[str, ...] = ()
    """`api.example.org`, `*.example.org` for all below it, or `*` for all public ones; empty: none, no network at all."""
    networks: tuple[str, ...] = ()
    """Networks that they may be in although those are not public, such as `10.1.0.0/16`."""
    ports: tuple[int, ...] = (80, 443)

    def environment(self) -> dict[str, str]:
        """What tells programs inside of the proxy."""
        if not self.hosts:
            return {}
        proxy = f"http://127.0.0.1:{PORT}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
        return {**dict.fromkeys(names, proxy), "NODE_USE_ENV_PROXY": "1"}


NO_EGRESS = Egress()
