"""Ask again where Stripe is away for half a minute; for commands, which nothing calls a second time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reconciler.failures import StripeUnavailable

_TRIES = 6
_PAUSE_SECONDS = 1.0
T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """
    Answer of Stripe's, after some tries.

    Raises:
        StripeUnavailable: the last try failed too.
    """
    for tries in range(_TRIES - 1):
        try:
            return await ask()
        except StripeUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS * 2**tries)
    return await ask()
