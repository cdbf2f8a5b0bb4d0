"""How a service listens: on one address, or on every one of the machine, IPv4 and IPv6 alike."""

import errno

from aiohttp import web

EVERY_ADDRESS = "::"
_IPV4 = "0.0.0.0"  # noqa: S104  kubelet, Ingress and Prometheus come from outside
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_BACKLOG = 128


async def listen_on(
    runner: web.BaseRunner,
    host: str,
    port: int,
    *,
    backlog: int = _BACKLOG,
    reuse_port: bool = False,
) -> None:
    """
    Listen on ``host``; for ``::`` on every address of the machine, each family by a socket of its own.

    One socket for both would show IPv4 clients as ``::ffff:…``. A machine without IPv6 is listened on by IPv4 alone.

    Args:
        port: any free one for 0, the same for both families.

    Raises:
        OSError: the address cannot be had.
    """
    first = _IPV4 if host == EVERY_ADDRESS else host
    await web.TCPSite(runner, first, port, backlog=backlog, reuse_port=reuse_port or None).start()
    if host != EVERY_ADDRESS:
        return
    taken: int = runner.addresses[0][1]
    try:  # asyncio and uvloop keep IPv4 off a socket of IPv6
        await web.TCPSite(runner, EVERY_ADDRESS, taken, backlog=backlog, reuse_port=reuse_port or None).start()
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
