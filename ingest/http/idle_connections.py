"""
Choice of the connections to close when there is no more room: those that wait for their clients, never for us.

An idle one goes before one whose request is unfinished; then one of the address that holds most goes before others;
then the one that has waited longest. So an address gives way to all that hold less, however many connections it opens.
Nor does it help to keep them half-way: past a half of all connections, an address's unfinished ones count as idle.
Behind a proxy all clients share one address: then only idleness and age decide, and a newcomer is never refused for
its address.
"""

import heapq
import ipaddress
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol, TypeVar

_AT_ONCE = 32
"""One part in so many is closed at once: a flood of newcomers shall not make us look at all of them each time."""
_UNFINISHED_SECONDS = 1.0
_PREFIX_BITS = 64


class Wait(IntEnum):
    """States of a connection; the lower, the sooner it is closed."""

    IDLE = 0
    """A request, or the end of its headers."""
    UNFINISHED = 1
    """The rest of a body, or that answers are read."""
    OURS = 2
    """Our answer."""


class Closable(Protocol):
    """One client's connection."""

    @property
    def address(self) -> str:
        """The client's address, as ``address_of`` gives it."""

    @property
    def wait(self) -> Wait:
        """Its state now."""

    @property
    def waits_since(self) -> float:
        """Since when, in the loop's time: its last answer, or its beginning."""


C = TypeVar("C", bound=Closable)


def connections_to_close(connections: Iterable[C], limit: int, now: float) -> list[C]:
    """
    The connections to close so that a newcomer fits: a few at once, none where all wait for us.

    Args:
        limit: connections at most.
        now: the loop's time.
    """
    waiting = [(one.wait, one) for one in connections]
    held = Counter(one.address for _, one in waiting)
    unfinished = Counter(one.address for wait, one in waiting if wait is Wait.UNFINISHED)
    ranked = [
        (
            wait is Wait.UNFINISHED and unfinished[one.address] <= limit // 2,
            -held[one.address],
            wait,
            one.waits_since,
            one,
        )
        for wait, one in waiting
        if wait is Wait.IDLE or (wait is Wait.UNFINISHED and now - one.waits_since >= _UNFINISHED_SECONDS)
    ]
    gone = heapq.nsmallest(max(1, limit // _AT_ONCE), ranked, key=lambda entry: entry[:4])
    return [entry[4] for entry in gone if entry[0] == gone[0][0]]


def address_of(peer: object) -> str:
    """The address of a peer name; of IPv6 the network, since one client has all of it."""
    host = peer[0] if isinstance(peer, tuple) and peer else ""
    if ":" not in str(host):
        return str(host)
    address = ipaddress.IPv6Address(str(host).partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> _PREFIX_BITS << _PREFIX_BITS, _PREFIX_BITS)))
