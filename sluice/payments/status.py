"""The status of a payment, and which one an ``events`` row with several payments shows."""

from collections.abc import Mapping
from enum import StrEnum


class PaymentStatus(StrEnum):
    """Every status of a payment; an ``events`` row shows that of its payments which stands first here."""

    DISPUTED = "disputed"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    CHARGED_BACK = "charged_back"
    REFUNDED = "refunded"
    AUTHORIZED = "authorized"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    PENDING = "pending"

    @classmethod
    def known(cls, word: str | None) -> "PaymentStatus | None":
        """The status of that name; None where there is none."""
        return _BY_WORD.get(word)

    @property
    def rank(self) -> int:
        """Its place in that order, 0 first; ``payment.rank`` in the database."""
        return _RANKS[self]


CAPTURED = frozenset(
    {
        PaymentStatus.DISPUTED,
        PaymentStatus.PAID,
        PaymentStatus.PARTIALLY_REFUNDED,
        PaymentStatus.CHARGED_BACK,
        PaymentStatus.REFUNDED,
    }
)
"""The statuses of a payment whose money was taken, whatever became of it."""

_RANKS = {status: rank for rank, status in enumerate(PaymentStatus)}
_BY_WORD: Mapping[str | None, PaymentStatus] = {status.value: status for status in PaymentStatus}
