"""Which hosts may be reached: by name, by port, and by every address that the name has at this moment."""

import ipaddress
from collections.abc import Awaitable, Callable
from socket import SOCK_STREAM
from typing import TypeAlias

import anyio

from agent_skills.web.addresses import Network, is_address, is_inside, plain_host, why_not_public

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""All IP addresses of a host."""


class HostRefusedError(Exception):
    """A host that must not be reached; the text says why."""


class HostUnknownError(Exception):
    """A name that has no address."""


class HostGuard:
    """Decides on hosts. What it has checked is an address, and that one is to be connected to: a name may change."""

    def __init__(
        self,
        *,
        hosts: tuple[str, ...],
        networks: tuple[str, ...],
        ports: tuple[int, ...],
        resolve: Resolve | None = None,
    ) -> None:
        """`hosts` are the only ones (`example.org`, `*.example.org`), or none: all public ones.

        `networks` may be reached although they are not public. `resolve` is the system's resolver if none is given.

        Raises:
            ValueError: one of the networks is none.
        """
        self._hosts, self._ports = tuple(one.lower() for one in hosts), ports
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(one) for one in networks)
        self._resolve = resolve or system_addresses

    def check(self, host: str, port: int) -> str:
        """Hold that a host may be reached as far as its name says; returns the name as it is asked for.

        Raises:
            HostRefusedError: it may not.
        """
        try:
            host = plain_host(host)
        except ValueError as error:
            raise HostRefusedError(str(error)) from None
        if port not in self._ports:
            raise HostRefusedError(f"only the ports {', '.join(map(str, self._ports))} are asked")
        if not self._networks and is_inside(host):
            raise HostRefusedError(f"{host} leads inside")
        if self._hosts and not any(_is_of(host, pattern) for pattern in self._hosts):
            raise HostRefusedError(f"only these hosts are asked: {', '.join(self._hosts)}")
        return host

    async def address(self, host: str, port: int) -> str:
        """The address to connect to; all that the name has must be allowed.

        Raises:
            HostRefusedError: one of them is not.
            HostUnknownError: it has none.
        """
        try:
            addresses = [host] if is_address(host) else await self._resolve(host, port)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise HostUnknownError(f"there is no host {host}")
        for address in addresses:
            if why := why_not_public(address, self._networks):
                raise HostRefusedError(f"{host} is {address}, which is not public ({why})")
        return addresses[0]


def _is_of(host: str, pattern: str) -> bool:
    return pattern == "*" or (host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern)


async def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    found = await anyio.getaddrinfo(host, port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
