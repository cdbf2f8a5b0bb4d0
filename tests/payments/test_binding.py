"""Which ``events`` row a payment belongs to."""

from collections.abc import Sequence
from itertools import permutations

import pytest

from sluice.contract.event import StripeEvent
from sluice.payments.binding import Binding, bind
from sluice.payments.facts import Fact, FactKind, NamedBy, Naming
from sluice.payments.reading import facts_of
from sluice.payments.scopes import allowed_scopes
from tests.payments.history import INVOICE, PI, SUBSCRIPTION, event, intent, names, session

NAMED = Fact(PI, FactKind.STORED, 0, "evt_1", namings=(Naming("row", NamedBy.METADATA),))


def binding(events: Sequence[StripeEvent], *extra: Fact) -> Binding | None:
    """Where ``pi_1`` belongs after these events; every order says the same."""
    found = {_bind([fact for told in order for fact in facts_of(told)] + list(extra)) for order in permutations(events)}
    assert len(found) == 1
    return found.pop()


def _bind(facts: Sequence[Fact]) -> Binding | None:
    known: dict[str, list[Fact]] = {}
    for fact in facts:
        known.setdefault(fact.payment_id, []).append(fact)
    rows = dict.fromkeys(naming.events_id for fact in facts for naming in fact.namings)
    return bind(PI, "live:platform", known, rows)


def stored(events_id: str) -> Fact:
    """The fact that the ledger keeps of a row that had stored the intent's id."""
    namings = (Naming(events_id, NamedBy.STORED),)
    return Fact(PI, FactKind.STORED, 0, f"stored:{events_id}", namings=namings)


def test_metadata_beat_the_reference() -> None:
    """Even when the reference was there first."""
    reference = session("completed", 1, client_reference_id="by-reference")
    assert binding([reference]) == Binding("by-reference", "reference")
    assert binding([reference, intent("succeeded", 5, metadata=names("by-metadata"))]) == Binding(
        "by-metadata", "metadata"
    )


@pytest.mark.parametrize(
    ("scope", "owner", "is_satisfied"),
    [
        ("live:platform", "acct_1", True),
        ("live:platform", "acct_2", False),
        ("live:acct_3", "acct_1", False),
        ("tenant:other", "acct_1", False),
    ],
)
@pytest.mark.parametrize("fact", [NAMED._replace(destination="acct_1"), NAMED._replace(on_behalf_of="acct_1")])
def test_a_row_of_the_account_that_the_platform_took_money_for(
    fact: Fact, scope: str, owner: str, is_satisfied: bool
) -> None:
    """Only the platform's own word on it counts: another sender that names an account gets no row of that account."""
    bound = bind(PI, scope, {PI: [fact]}, {"row": owner})
    assert bound is not None
    assert bound.is_satisfied is is_satisfied


def test_the_earliest_name_wins() -> None:
    """Changed metadata do not move a payment; within one second the smaller key wins."""
    first, later = intent("created", 1, metadata=names("b")), intent("succeeded", 5, metadata=names("a"))
    assert binding([first, later]) == Binding("b", "metadata")
    assert binding([first, intent("processing", 1, metadata=names("a"))]) == Binding("a", "metadata")


def test_a_subscriptions_payment_inherits() -> None:
    """Intent to invoice to subscription, whichever of them is told of first."""
    chain = [
        intent("succeeded", 3),
        event("invoice_payment.paid", 3),
        event("invoice.paid", 3),
        session("completed", 4, mode="subscription", subscription=SUBSCRIPTION, client_reference_id="row"),
    ]
    assert binding(chain) == Binding("row", f"inherited:{INVOICE}")
    assert binding(chain[:3]) is None


def test_a_payments_own_name_beats_its_invoices() -> None:
    """The name nearest to the money counts, also as a mere reference."""
    invoice = event("invoice.paid", 1, metadata=names("of-invoice"))
    own = session("completed", 9, client_reference_id="own")
    assert binding([event("invoice_payment.paid", 2), invoice, own]) == Binding("own", "reference")
    assert binding([event("invoice_payment.paid", 2), invoice]) == Binding("of-invoice", f"inherited:{INVOICE}")


def test_a_stored_intent_is_the_last_resort() -> None:
    """It binds a payment that nothing else binds, not one that inherits."""
    assert binding([intent("succeeded")], stored("row")) == Binding("row", "stored")
    above = [event("invoice_payment.paid", 2), event("invoice.paid", 1, metadata=names("of-invoice"))]
    assert binding(above, stored("row")) == Binding("of-invoice", f"inherited:{INVOICE}")


def test_a_row_is_touched_by_its_owner_alone() -> None:
    """Its own URL, and its account in both modes; without an account, the platform's."""
    assert allowed_scopes("7", "acct_1") == ("tenant:7", "live:acct_1", "test:acct_1")
    assert allowed_scopes("7", None) == allowed_scopes("7", "") == ("tenant:7", "live:platform", "test:platform")
