"""Which proxy leads to a host, by the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`."""

import os


class Proxies:
    """The proxies of the environment, as it was at the first question."""

    def __init__(self) -> None:
        self._known: dict[str, str] | None = None

    def of(self, scheme: str, host: str) -> str | None:
        """The URL of the proxy, or None where there is none for this host."""
        if self._known is None:
            self._known = _read()
        if not self._known:
            return None
        from urllib.request import proxy_bypass  # noqa: PLC0415 (20 ms, and hardly anybody has a proxy)

        if proxy_bypass(host, self._known):
            return None
        found = self._known.get(scheme) or self._known.get("all")
        return found if found is None or "://" in found else f"http://{found}"


def _read() -> dict[str, str]:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies_environment  # noqa: PLC0415 (see above)

    return getproxies_environment()
