"""Which IP addresses lead to the public internet, by a table of our own, and how hosts are written. Pure.

`ipaddress.is_global` lets through addresses that lead inside (6to4 and IPv4-compatible forms of 127.0.0.1, multicast,
site-local ...), so what is public is listed here, and everything else is not. Source: the IANA special-purpose
registries for IPv4 and IPv6 (RFC 6890 and its updates, as of October 2026).
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import TypeAlias

import idna

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC_4 = tuple(
    (ipaddress.IPv4Network(network), meaning)
    for network, meaning in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "this machine"),
        ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved by IETF"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    (ipaddress.IPv6Network(network), meaning)
    for network, meaning in (
        ("2001::/23", "reserved by IETF (Teredo, ORCHID, benchmarks)"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4, which holds an IPv4 address"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE = (".localhost", ".local", ".internal", ".intranet", ".home.arpa", ".in-addr.arpa", ".ip6.arpa")


def why_not_public(text: str, allowed: Iterable[Network] = ()) -> str:
    """Why an address must not be reached, in words; empty where it may be.

    Args:
        text: one IP address as a resolver gives it.
        allowed: networks that an operator opened although they are not public.
    """
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return "no IP address, or one with a zone"
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address.version == network.version and address in network for network in allowed):
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return next((meaning for network, meaning in _NOT_PUBLIC_4 if address in network), "")
    if address not in _PUBLIC_6 or address.scope_id:
        return "not of the public part of IPv6"
    return next((meaning for network, meaning in _NOT_PUBLIC_6 if address in network), "")


def plain_host(host: str) -> str:
    """A host as it is asked for: lower case, ASCII, an address written in its one usual way.

    Resolvers take `127.1`, `0x7f.1`, `2130706433` and digits in circles for 127.0.0.1; whoever writes so wants to pass
    a check, so it is refused.

    Raises:
        ValueError: it is no host, or an address in an unusual spelling.
    """
    name = host.strip("[]") if host.startswith("[") and host.endswith("]") else host
    if ":" in name:
        return ipaddress.IPv6Address(name).compressed  # raises ValueError; a zone stays and is refused later
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ValueError("it is no name of a host") from None
    name = name.removesuffix(".")
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError("it is no name of a host")
    if not host.isascii() and _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise ValueError("an address must be written in plain digits")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError("an address must be four numbers, such as 192.0.2.1") from None
    return name


def is_address(host: str) -> bool:
    """Whether a plain host is an address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_inside(host: str) -> bool:
    """Whether a name says by itself that it leads inside, whatever it resolves to."""
    return host == "localhost" or host.endswith(_INSIDE)
