"""
The families of Stripe's objects, by the word in the ``object`` field, and all their event types.

Each family is a module with its ``TYPES`` and its ``facts``. The handlers, ingest's metrics, docs/event-types.md and
``sluice events`` take the types from here.
"""

from collections.abc import Mapping
from typing import Protocol

from sluice.payments import (
    charge,
    checkout_session,
    dispute,
    invoice,
    invoice_payment,
    payment_intent,
    refund,
    subscription,
)
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact


class Family(Protocol):
    """A module that reads the events of one kind of object."""

    @property
    def TYPES(self) -> Mapping[str, EventType]:  # noqa: N802  a constant of the module
        """Its event types by name."""

    def facts(self, builder: FactBuilder) -> tuple[Fact, ...]:
        """Make the facts of an event."""


FAMILIES: Mapping[str, Family] = {
    "payment_intent": payment_intent,
    "checkout.session": checkout_session,
    "charge": charge,
    "refund": refund,
    "dispute": dispute,
    "invoice_payment": invoice_payment,
    "invoice": invoice,
    "subscription": subscription,
}
EVENT_TYPES: Mapping[str, EventType] = {
    name: known for family in FAMILIES.values() for name, known in family.TYPES.items()
}
