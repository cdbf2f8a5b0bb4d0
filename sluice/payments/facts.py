"""The ledger's entries: what one Stripe event says of one payment."""

from enum import StrEnum
from typing import NamedTuple

from sluice.payments.status import PaymentStatus


class FactKind(StrEnum):
    """Kind of the Stripe object that a fact comes from."""

    INTENT = "intent"
    SESSION = "session"
    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    INVOICE_PAYMENT = "invoice_payment"
    INVOICE = "invoice"
    SUBSCRIPTION = "subscription"
    LINK = "link"
    """Says only where something belongs, nothing of money."""
    STORED = "stored"
    """What an ``events`` row itself said before Sluice overwrote it."""

    @classmethod
    def known(cls, word: str) -> "FactKind":
        """The kind of that name. One that a later release wrote: its links and namings count, the rest says nothing."""
        return _BY_WORD.get(word, cls.LINK)

    @property
    def is_of_money(self) -> bool:
        """Whether such a fact has a say in a payment's status."""
        return self in _OF_MONEY


_BY_WORD = {kind.value: kind for kind in FactKind}
_OF_PROGRESS = frozenset({FactKind.INTENT, FactKind.SESSION, FactKind.CHARGE, FactKind.INVOICE_PAYMENT})
_OF_MONEY = _OF_PROGRESS | {FactKind.REFUND, FactKind.DISPUTE}


class NamedBy(StrEnum):
    """How a fact names its ``events`` row; the most trusted first."""

    TENANT = "tenant"
    METADATA = "metadata"
    REFERENCE = "reference"
    STORED = "stored"


class Naming(NamedTuple):
    """The ``events`` row that a fact names."""

    events_id: str
    by: NamedBy


class Fact(NamedTuple):
    """
    One event's statement about one payment, or about an invoice or subscription on the way to one.

    Amounts are in the currency's smallest unit, times are whole seconds since the Unix epoch.
    """

    payment_id: str
    """``pi_…``; ``cs_…`` or ``ch_…`` where there is no intent; ``in_…`` and ``sub_…`` are links to payments."""
    kind: FactKind
    said_at: int
    """When Stripe made the event."""
    stripe_event_id: str
    object_id: str | None = None
    """The object that speaks: this refund, this dispute, this charge, …"""
    status: str | None = None
    """Intent, session, charge and invoice payment: a ``PaymentStatus``; refund and dispute: Stripe's own word."""
    amount: int | None = None
    """Refund and dispute: its amount; charge: how much of what was captured went back; else what is asked for."""
    amount_captured: int | None = None
    amount_released: int | None = None
    """
    Charge and intent: what a partial capture let go of the hold. Refund: its amount where the event is from before
    Basil, so that the refund may be such a release; else None.
    """
    currency: str | None = None
    object_created: int | None = None
    parent_id: str | None = None
    """The invoice of a payment, the subscription of an invoice."""
    namings: tuple[Naming, ...] = ()
    """The rows that it names, the most trusted first. The ledger keeps those that can be a key of ``events``."""
    destination: str | None = None
    """The connected account that the platform's charge transfers its money to."""
    on_behalf_of: str | None = None
    """The connected account in whose name the platform took the money."""

    @property
    def progress(self) -> PaymentStatus | None:
        """
        The status that it gives its payment, where nothing else is known; refunds and disputes have none to give.

        A status that a later release wrote gives none to this release.
        """
        return PaymentStatus.known(self.status) if self.kind in _OF_PROGRESS else None
