"""Addresses of clients."""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_loopback(text: str | None) -> bool:
    """Whether it is this machine's own address, or its name."""
    address = _address(text)
    return text == "localhost" or (address is not None and address.is_loopback)


def is_within(text: str | None, networks: Iterable[Network]) -> bool:
    """Whether it is an address of one of these networks."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str | None) -> _Address | None:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
