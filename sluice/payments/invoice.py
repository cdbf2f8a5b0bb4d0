"""``invoice.*``: a link between a subscription and its payments, with a state of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sluice.contract.document import JsonObject
from sluice.contract.event import StripeEvent
from sluice.payments.event_type import EventType
from sluice.payments.fact_builder import FactBuilder, naming_in
from sluice.payments.facts import Fact, FactKind
from sluice.payments.values import child, children, identifier, text, whole

_BELONGS = "which payments and which subscription belong together; the newest state in table `invoice`"
_PAID = f"{_BELONGS}; and `paid`, unless a payment below the invoice says so itself"
TYPES: Mapping[str, EventType] = {
    "invoice.created": EventType(_BELONGS),
    "invoice.deleted": EventType(_BELONGS),
    "invoice.finalized": EventType(_BELONGS),
    "invoice.finalization_failed": EventType(_BELONGS),
    "invoice.sent": EventType(_BELONGS),
    "invoice.updated": EventType(_BELONGS),
    "invoice.paid": EventType(_PAID),
    "invoice.payment_succeeded": EventType(_PAID),
    "invoice.payment_failed": EventType(_BELONGS),
    "invoice.payment_action_required": EventType(_BELONGS),
    "invoice.payment_attempt_required": EventType(_BELONGS),
    "invoice.overdue": EventType(_BELONGS),
    "invoice.overpaid": EventType(_BELONGS),
    "invoice.voided": EventType(_BELONGS),
    "invoice.marked_uncollectible": EventType(_BELONGS),
    "invoice.will_be_due": EventType(_BELONGS),
    "invoice.upcoming": EventType("nothing: that invoice does not exist yet"),
}

PAID = "paid"
PRECEDENCE = ("draft", "open", "uncollectible", "void", "paid", "deleted")
"""Within one second the later one wins."""
_DELETED = "deleted"
_BY_VERB: Mapping[str, str] = {
    "created": "draft",
    "finalized": "open",
    "marked_uncollectible": "uncollectible",
    "overdue": "open",
    "paid": "paid",
    "payment_action_required": "open",
    "payment_failed": "open",
    "payment_succeeded": "paid",
    "sent": "open",
    "voided": "void",
}
_VERBS_OF_PAID = frozenset({"paid", "payment_succeeded"})


def facts(builder: FactBuilder) -> tuple[Fact, ...]:
    """Which subscription it belongs to, which payments belong to it, which row it names."""
    invoice_id = identifier(builder.object, "id", "in_")
    if invoice_id is None:  # invoice.upcoming speaks of an invoice that does not exist yet
        return ()
    subscription = _subscription(builder.object)
    own = builder.fact(
        invoice_id,
        FactKind.INVOICE,
        namings=builder.metadata_naming,
        status=_status(builder),
        amount=whole(builder.object, "amount_due"),
        parent_id=subscription,
    )
    payments = (
        builder.fact(one, FactKind.LINK, parent_id=invoice_id) for one in builder.each(_payments(builder.object))
    )
    return (own, *payments, *_subscription_naming(builder, subscription))


def says_paid(fact: Fact) -> bool:
    """Whether the invoice itself says that it is paid: by a payment, by a payment record, or out of band."""
    return fact.kind is FactKind.INVOICE and fact.status == PAID


def _status(builder: FactBuilder) -> str | None:
    """Invoices of before 2018-11-08 have no status but ``paid``."""
    is_paid = builder.verb in _VERBS_OF_PAID or builder.object.get("paid") is True
    return PAID if is_paid else text(builder.object, "status")


def _subscription_naming(builder: FactBuilder, subscription: str | None) -> tuple[Fact, ...]:
    """An invoice carries a copy of its subscription's metadata."""
    namings = naming_in(child(_details(builder.object), "metadata"))
    return (builder.fact(subscription, FactKind.LINK, namings=namings),) if subscription and namings else ()


def _details(invoice: JsonObject) -> JsonObject:
    return child(invoice, "parent", "subscription_details") or child(invoice, "subscription_details")


def _subscription(invoice: JsonObject) -> str | None:
    return identifier(_details(invoice), "subscription", "sub_") or identifier(invoice, "subscription", "sub_")


def _payments(invoice: JsonObject) -> Iterator[str | None]:
    """The intent itself until Basil; since then the list of payments, where Stripe expanded it."""
    yield identifier(invoice, "payment_intent")
    for one in children(invoice, "payments"):
        yield identifier(child(one, "payment"), "payment_intent")


@dataclass(frozen=True, slots=True)
class InvoiceState:
    """State of an invoice as one event tells it; amounts in the currency's smallest unit."""

    scope: str
    invoice_id: str
    status: str
    subscription_id: str | None
    customer_id: str | None
    amount_due: int | None
    amount_paid: int | None
    currency: str | None
    said_at: int
    stripe_event_id: str


def state(event: StripeEvent) -> InvoiceState | None:
    """The invoice as this event shows it; None where it has no id or no status yet."""
    invoice = event.object
    invoice_id = identifier(invoice, "id", "in_")
    status = _row_status(event)
    if invoice_id is None or status is None:
        return None
    return InvoiceState(
        scope=event.scope,
        invoice_id=invoice_id,
        status=status,
        subscription_id=_subscription(invoice),
        customer_id=identifier(invoice, "customer"),
        amount_due=whole(invoice, "amount_due"),
        amount_paid=whole(invoice, "amount_paid"),
        currency=text(invoice, "currency"),
        said_at=event.created,
        stripe_event_id=event.stripe_event_id,
    )


def _row_status(event: StripeEvent) -> str | None:
    """
    Stripe's word; where it is unknown, what the event's type says, if that says anything. Only the type deletes.

    Until 2018-11-08 an invoice had no status, but said whether it was paid.
    """
    verb, word = event.verb, text(event.object, "status")
    if verb == _DELETED:
        return _DELETED
    if word in PRECEDENCE:
        return word
    return _BY_VERB.get(verb) or ("paid" if event.object.get("paid") is True else word)
