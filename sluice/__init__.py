"""
Sluice gives each Stripe webhook its business effect exactly once.

To add an effect of your own::

    from sluice import StripeEvent, Transaction, handles


    @handles("customer.created")
    async def welcome(event: StripeEvent, tx: Transaction) -> None:
        await tx.execute("INSERT INTO welcome_letter (customer) VALUES ($1)", event.object_id)
"""

from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Ignored, Outcome, Parked
from sluice.registry import Transaction, handles, handles_batch
from sluice.rehearsal import is_rehearsal

__all__ = [
    "Applied",
    "Ignored",
    "Outcome",
    "Parked",
    "StripeEvent",
    "Transaction",
    "handles",
    "handles_batch",
    "is_rehearsal",
]
