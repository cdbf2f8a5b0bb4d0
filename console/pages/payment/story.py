"""Sentences that tell why a payment, or a row, has its status, and what to tell a person who asks. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from console.pages.payment.amounts import money
from sluice.ops.why.history import EventsRow, Payment, PaymentHistory, RecordedFact, Webhook
from sluice.payments.status import PaymentStatus

_INHERITED: Final = "inherited:"
_BOUND_BY: Final[Mapping[str, str]] = {
    "tenant": "the organiser's URL that received it",
    "metadata": "metadata.event_id",
    "reference": "client_reference_id",
    "stored": "the payment intent that was stored in the row",
}
_ANSWERS: Final[Mapping[str | None, str]] = {
    PaymentStatus.PAID: "{captured} was taken. Nothing went back.",
    PaymentStatus.PARTIALLY_REFUNDED: "{captured} was taken, and {back} of it went back. {kept} stays.",
    PaymentStatus.REFUNDED: "{captured} was taken, and all of it went back.",
    PaymentStatus.DISPUTED: "{captured} was taken, and the payer's bank disputes it. Nothing is decided yet.",
    PaymentStatus.CHARGED_BACK: "{captured} was taken, and the payer's bank took it back: the dispute is lost.",
    PaymentStatus.AUTHORIZED: "The money is held on the payer's card, and was not taken yet.",
    PaymentStatus.PROCESSING: "The payer did their part. The bank has not confirmed it, and nothing was taken yet.",
    PaymentStatus.REQUIRES_ACTION: "The payer must still act, such as confirm it at their bank. Nothing was taken.",
    PaymentStatus.FAILED: "It failed. Nothing was taken, and the payer may try again.",
    PaymentStatus.CANCELED: "It was canceled. Nothing was taken.",
    PaymentStatus.EXPIRED: "The checkout expired before it was paid. Nothing was taken.",
    PaymentStatus.PENDING: "It was begun, and is not paid yet.",
    None: "This is no payment itself: payments below it may take their row from it.",
}
_TONES: Final = {
    "good": {PaymentStatus.PAID},
    "bad": {PaymentStatus.DISPUTED, PaymentStatus.CHARGED_BACK, PaymentStatus.FAILED},
    "warn": {PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED, PaymentStatus.REQUIRES_ACTION},
}


@dataclass(frozen=True, slots=True)
class ToldFact:
    """One fact, and what it meant."""

    fact: RecordedFact
    says: str
    amount: str | None


@dataclass(frozen=True, slots=True)
class ToldPayment:
    """
    One payment in words.

    Args:
        answer: what to tell a person who asks for it.
        because: the fact that gave it its status; None: there is none.
        binding: which row it belongs to, and why that one.
        waits: whether the row that it wants does not exist.
    """

    payment: Payment
    status: str
    tone: str
    answer: str
    because: RecordedFact | None
    binding: str
    waits: bool
    facts: Sequence[ToldFact]


@dataclass(frozen=True, slots=True)
class ToldRow:
    """One row of ``events`` in words."""

    row: EventsRow
    status: str
    tone: str
    because: str
    answer: str | None
    last_at: datetime | None
    """When it was changed last."""


@dataclass(frozen=True, slots=True)
class ToldWebhook:
    """One webhook with the word for its state."""

    webhook: Webhook
    state: str


@dataclass(frozen=True, slots=True)
class Story:
    """All of it."""

    rows: Sequence[ToldRow]
    payments: Sequence[ToldPayment]
    webhooks: Sequence[ToldWebhook]

    @property
    def waiting(self) -> Sequence[ToldWebhook]:
        """Webhooks that have had no effect yet."""
        return [one for one in self.webhooks if not one.webhook.processed]


def story_of(history: PaymentHistory) -> Story:
    """Tell it."""
    payments = [_payment(payment) for payment in history.payments]
    return Story(
        [_row(row, payments) for row in history.events_rows],
        payments,
        [ToldWebhook(webhook, _state(webhook)) for webhook in history.webhooks],
    )


def tone_of(status: str | None) -> str:
    """How a status is to be taken."""
    return next((tone for tone, words in _TONES.items() if status in words), "plain")


def _payment(payment: Payment) -> ToldPayment:
    decided = [fact for fact in payment.facts if fact.decided and fact.status_after is not None]
    return ToldPayment(
        payment,
        status="no payment itself" if payment.status is None else payment.status.replace("_", " "),
        tone=tone_of(payment.status),
        answer=_answer(payment),
        because=decided[-1] if decided else None,
        binding=_binding(payment),
        waits=payment.awaits_event,
        facts=[
            ToldFact(fact, " ".join(_says(fact)), money(fact.amount, fact.currency) if fact.amount else None)
            for fact in payment.facts
        ],
    )


def _answer(payment: Payment) -> str:
    captured, back = payment.amount_captured, payment.amount_back
    kept = None if captured is None else captured - back
    return _ANSWERS.get(payment.status, "Its status was written by a later release.").format(
        captured=money(captured, payment.currency) or "The money",
        back=money(back, payment.currency),
        kept=money(kept, payment.currency) or "The rest",
    )


def _binding(payment: Payment) -> str:
    """Why that row, as a clause; the row itself is told before it."""
    if payment.events_id is None:
        return "none: nothing that is known of it names one"
    if payment.awaits_event:
        return f"{_named(payment)}; no such row exists that belongs to this account, so it moves when one appears"
    preferred = ", ".join((payment.awaits or "").split())
    better = f"; it would move to {preferred}, if that row existed in this account" if preferred else ""
    return f"{_named(payment)}{better}"


def _named(payment: Payment) -> str:
    by = payment.bound_by or "unknown"
    if by.startswith(_INHERITED):
        return f"taken from {by.removeprefix(_INHERITED)}, of which it is a part"
    return f"named by {_BOUND_BY.get(by, by)}"


def _says(fact: RecordedFact) -> Iterator[str]:
    yield fact.kind.replace("_", " ")
    if fact.status:
        yield fact.status.replace("_", " ")
    if fact.kind == "charge" and fact.amount:
        yield "(went back)"


def _row(row: EventsRow, payments: Sequence[ToldPayment]) -> ToldRow:
    deciding = [one for one in payments if one.payment.payment_id == row.stripe_payment_intent_id]
    return ToldRow(
        row,
        status=(row.payment_status or "no status").replace("_", " "),
        tone=tone_of(row.payment_status),
        because=_because(row),
        answer=deciding[0].answer if deciding and deciding[0].payment.status == row.payment_status else None,
        last_at=_aware(row.last_webhook_received),
    )


def _aware(at: datetime | None) -> datetime | None:
    """The column has no zone, and means UTC."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _because(row: EventsRow) -> str:
    if row.payments == 0:
        return "No payment is bound to it, so it keeps the status that it had."
    if row.payments == 1:
        return "It has this one payment, which decides."
    return f"Of its {row.payments:,} payments this one decides: its status stands first in the order below."


def _state(webhook: Webhook) -> str:
    """As State has it, told from what the history holds."""
    if webhook.processed:
        return "written_off" if webhook.dead_at is not None else "processed"
    if webhook.dead_at is not None:
        return "unsupported" if webhook.outcome == "unsupported" else "dead"
    if webhook.wait is not None:
        return "paused"
    return webhook.outcome if webhook.outcome in ("failed", "parked", "fetching") else "queued"
