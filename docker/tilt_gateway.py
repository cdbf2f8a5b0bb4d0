# ruff: noqa: INP001  a script of the Tiltfile, no package
"""
The public paths on one port, for the Tiltfile: ``python docker/tilt_gateway.py 3000 ingest=8080 healthd=8081``.

It is the gateway of `make run`, before the port forwards of Tilt; it ends with SIGTERM.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping

from devstack.gateway import Gateway
from devstack.routes import load_routes


async def forward(port: int, ports: Mapping[str, int]) -> None:
    """Hand on each request to the port of its service until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Gateway(load_routes(), ports.__getitem__).listen(port) as url:
        sys.stderr.write(f"The public paths are at {url}.\n")
        await stop.wait()


if __name__ == "__main__":
    services = dict(argument.split("=", 1) for argument in sys.argv[2:])
    asyncio.run(forward(int(sys.argv[1]), {name: int(port) for name, port in services.items()}))
