"""Register a handler that takes its whole process down, as a bug in a C library would; imported by services alone."""

import os

from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles
from tests.system.killer import EVENT_TYPE


@handles(EVENT_TYPE)
async def kill(of: StripeEvent, _: Transaction) -> None:
    """End the process in the middle of its transaction."""
    os._exit(137 if of.stripe_event_id else 0)
