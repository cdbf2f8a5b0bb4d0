"""All that Sluice knows of one payment, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.operations.pauses import Wait


@dataclass(frozen=True, slots=True)
class Repeat:
    """A webhook that arrived again."""

    received_at: datetime
    verified_by: str | None
    body_differs: bool | None


@dataclass(frozen=True, slots=True)
class LoggedError:
    """A row of ``error_logs`` that names a webhook."""

    created_at: datetime
    severity: str
    service: str | None
    message: str
    resolved: bool


@dataclass(frozen=True, slots=True)
class Webhook:
    """One row of ``webhook_logs`` with its repeats and errors."""

    stripe_event_id: str
    webhook_type: str
    stripe_account_id: str | None
    livemode: bool | None
    api_version: str | None
    object_id: str | None
    stripe_created_at: datetime | None
    tenant: str | None
    verified_by: str | None
    processed: bool
    processing_attempts: int
    last_error: str | None
    outcome: str | None
    next_attempt_at: datetime | None
    publications: int
    parked_at: datetime | None
    processed_at: datetime | None
    dead_at: datetime | None
    revivals: int
    """Lives after the first: it was dead, and Stripe sent it again."""
    revived_at: datetime | None
    created_at: datetime
    fetch_tries: int | None = None
    """Of a thin event that waits: tries to fetch it; None: it does not wait, or this role may not know."""
    fetch_problem: str | None = None
    """Why the newest of these tries gave nothing."""
    wait: Wait | None = None
    """The pause that it waits for, or will when it is its turn."""
    repeats: Sequence[Repeat] = ()
    errors: Sequence[LoggedError] = ()


@dataclass(frozen=True, slots=True)
class RecordedFact:
    """One row of the ledger, and what the payment was once it was known."""

    stripe_event_id: str
    said_at: datetime
    kind: str
    object_id: str | None
    status: str | None
    amount: int | None
    currency: str | None
    parent_id: str | None
    names_event: str | None
    named_by: str | None
    refers_to: str | None
    """The row that ``client_reference_id`` names beside it."""
    status_after: str | None
    """The payment's status by this fact and all before it; None for what is no payment itself."""
    decided: bool
    """Whether this fact changed it."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, or an invoice or subscription on the way to one."""

    scope: str
    payment_id: str
    parent_id: str | None
    events_id: str | None
    bound_by: str | None
    status: str | None
    awaits_event: bool
    """Whether no row satisfies any naming."""
    awaits: str | None = None
    """Keys of rows that would be preferred, each on a line: they do not exist, or belong to another account."""
    amount_captured: int | None = None
    """By all facts, in the currency's smallest unit; None: none tells."""
    amount_back: int = 0
    """How much of it went back."""
    currency: str | None = None
    facts: Sequence[RecordedFact] = ()


@dataclass(frozen=True, slots=True)
class EventsRow:
    """The user's own business row."""

    id: str
    name: str | None
    payment_status: str | None
    last_webhook_received: datetime | None
    stripe_payment_intent_id: str | None
    """The payment that decided."""
    stripe_account_id: str | None
    has_own_secret: bool | None
    """None: this role may not know."""
    payments: int
    """How many it has, counted to a thousand; the history may show fewer."""


@dataclass(frozen=True, slots=True)
class PaymentHistory:
    """Everything that belongs to what was asked."""

    asked: str
    events_rows: Sequence[EventsRow] = ()
    payments: Sequence[Payment] = ()
    webhooks: Sequence[Webhook] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of it."""
        return not (self.events_rows or self.payments or self.webhooks)
