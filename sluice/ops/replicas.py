"""Find each replica behind the names of ``HEALTH_TARGETS``."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Final

import click
from yarl import URL

from sluice.runtime.health_targets import Target, parse_targets

_SECONDS: Final = 2.0
_AT_MOST: Final = 100
"""Replicas of one service."""


async def replicas_of(health_targets: str) -> Mapping[str, str | None]:
    """
    Resolve each service's name: admin addresses of its replicas; None where the name stands for nothing.

    Raises:
        click.UsageError: the setting cannot be read.
    """
    try:
        targets = parse_targets(health_targets)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    found: dict[str, str | None] = {}
    for target, addresses in zip(targets, await asyncio.gather(*map(_resolve, targets)), strict=True):
        found.update(_named(target, addresses))
    return found


def _named(target: Target, addresses: Sequence[str]) -> Mapping[str, str | None]:
    """One replica is called like its service, several by their addresses besides."""
    urls = {address: str(URL.build(scheme="http", host=address, port=target.port)) for address in addresses}
    if len(urls) > 1:
        return {f"{target.name} {address}": url for address, url in urls.items()}
    return {target.name: next(iter(urls.values()), None)}


async def _resolve(target: Target) -> Sequence[str]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return []
    return sorted({str(address[0]) for *_, address in found})[:_AT_MOST]
