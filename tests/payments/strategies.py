"""Histories for Hypothesis: what Stripe might say of one payment, of any family, at few times so that seconds tie."""

from collections.abc import Sequence

from hypothesis import strategies as st

from sluice.contract.event import StripeEvent
from tests.payments.history import INVOICE, SUBSCRIPTION, charge, dispute, event, intent, names, parent, refund, session

HARBOUR, CELLAR = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
MISSING_ROW = "00000000-0000-4000-8000-0000000000ff"

NEW_WORD = "a_new_word"

times = st.integers(0, 4)
amounts = st.sampled_from((0, 1900, 3000, 4900))
metadata = st.sampled_from(({}, {}, names(HARBOUR), names(CELLAR), names("no-key"), names(MISSING_ROW)))
api_versions = st.sampled_from(("2026-10-28.endive", "2024-09-30.acacia"))
references = st.sampled_from((None, None, HARBOUR, CELLAR))

intents = st.builds(
    intent,
    st.sampled_from(
        ("amount_capturable_updated", "canceled", "created", "partially_funded", "payment_failed", "processing",
         "requires_action", "succeeded")
    ),
    times,
    amount_received=amounts,
    metadata=metadata,
)  # fmt: skip
sessions = st.builds(
    session,
    st.sampled_from(("async_payment_failed", "async_payment_succeeded", "completed", "expired")),
    times,
    st.sampled_from(("paid", "unpaid", "no_payment_required")),
    metadata=metadata,
    client_reference_id=references,
)
charges = st.builds(
    charge,
    st.sampled_from(("captured", "expired", "failed", "pending", "refunded", "succeeded", "updated")),
    times,
    amounts,
    status=st.sampled_from(("succeeded", "succeeded", "pending", "failed", NEW_WORD)),
    captured=st.booleans(),
    amount_captured=st.sampled_from((4900, 3000)),
    api_version=api_versions,
)
refunds = st.builds(
    refund,
    st.sampled_from(("created", "updated", "failed")),
    times,
    st.sampled_from(("pending", "succeeded", "failed", "canceled", NEW_WORD)),
    st.sampled_from(("re_1", "re_2")),
    amount=amounts,
    api_version=api_versions,
)
disputes = st.builds(
    dispute,
    st.sampled_from(("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")),
    times,
    st.sampled_from(("needs_response", "under_review", "won", "lost", "prevented", "warning_closed", NEW_WORD)),
    id=st.sampled_from(("du_1", "du_2")),
)
invoices = st.builds(
    lambda at, verb, status, was, own, above: event(
        f"invoice.{verb}", at, status=status, previous=was, metadata=own, parent=parent(metadata=above)
    ),
    times,
    st.sampled_from(("paid", "updated", "finalized")),
    st.sampled_from(("open", "paid", "void", NEW_WORD)),
    st.sampled_from((None, {"status": "open"}, {"status": "paid"})),
    metadata,
    metadata,
)
older_invoices = st.builds(lambda at: event("invoice.paid", at, like="invoice.paid.acacia"), times)
invoice_payments = st.builds(lambda at: event("invoice_payment.paid", at), times)
subscriptions = st.builds(
    lambda at, verb, status, was, own: event(
        f"customer.subscription.{verb}", at, status=status, previous=was, metadata=own
    ),
    times,
    st.sampled_from(("created", "updated", "deleted")),
    st.sampled_from(("active", "past_due", "canceled", "incomplete")),
    st.sampled_from((None, {"status": "active"}, {"status": "past_due"})),
    metadata,
)
subscription_sessions = st.builds(
    lambda at, reference: session(
        "completed", at, mode="subscription", payment_intent=None, subscription=SUBSCRIPTION, invoice=INVOICE,
        client_reference_id=reference,
    ),
    times,
    references,
)  # fmt: skip

any_event = st.one_of(
    intents,
    sessions,
    charges,
    refunds,
    disputes,
    invoices,
    older_invoices,
    invoice_payments,
    subscriptions,
    subscription_sessions,
)


def _distinct(events: Sequence[StripeEvent]) -> list[StripeEvent]:
    return list({one.stripe_event_id: one for one in events}.values())


histories = st.lists(any_event, min_size=1, max_size=12).map(_distinct)
"""Different events about ``pi_1``, its invoice and its subscription."""


@st.composite
def retold(draw: st.DrawFn) -> tuple[list[StripeEvent], list[StripeEvent]]:
    """A history, and the same in another order with some events twice."""
    history = draw(histories)
    repeats = draw(st.lists(st.sampled_from(history), max_size=4))
    return history, draw(st.permutations([*history, *repeats]))
