"""The ledger on a real PostgreSQL ends the same whatever way its events came."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Ignored
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, play
from tests.payments.harness import Harness
from tests.payments.history import INVOICE, NOON, PI, SUBSCRIPTION, event, intent, names, refund, session
from tests.payments.strategies import CELLAR, HARBOUR, MISSING_ROW, retold

_ON_ONE_DATABASE = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def ledger_after(
    harness: Harness, received: Sequence[StripeEvent], batches: Sequence[Sequence[StripeEvent]]
) -> Mapping[str, Sequence[asyncpg.Record]]:
    """Read the database after these batches, and roll back."""
    undo = harness.tx.transaction()
    await undo.start()
    try:
        await harness.receive(*received)
        for batch in batches:
            await harness.apply(*batch)
        return await harness.contents()
    finally:
        await undo.rollback()


@_ON_ONE_DATABASE
@given(told=retold(), cuts=st.sets(st.integers(1, 15)), stored=st.sampled_from((None, PI, "pi_legacy")))
async def test_order_repeats_and_batches_do_not_matter(
    harness: Harness, told: tuple[list[StripeEvent], list[StripeEvent]], cuts: set[int], stored: str | None
) -> None:
    """One by one in Stripe's order, or shuffled, repeated and cut anyhow: the same ledger and the same rows."""
    history, again = told
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", stored, CELLAR)
    edges = [0, *sorted(cut for cut in cuts if cut < len(again)), len(again)]
    batches = [again[start:end] for start, end in pairwise(edges)]
    one_by_one = await ledger_after(harness, history, [[each] for each in history])
    assert await ledger_after(harness, history, batches) == one_by_one


async def test_every_story_of_the_simulator_ends_as_it_says(harness: Harness) -> None:
    """Forwards, backwards and in one batch."""
    for name, scenario in SCENARIOS.items():
        told = [read_event(one.body) for one in play(scenario, Subject("Night", HARBOUR), seed="1", ends_at=NOON)]
        for batches in ([[one] for one in told], [[one] for one in reversed(told)], [told]):
            contents = await ledger_after(harness, told, batches)
            assert (name, contents["events"][0]["payment_status"]) == (name, scenario.expected_status)


SUBSCRIBED = [
    session("completed", 9, mode="subscription", subscription=SUBSCRIPTION, client_reference_id=HARBOUR),
    event("customer.subscription.created", 1),
    event("invoice.paid", 3),
    event("invoice_payment.paid", 3),
    intent("succeeded", 2),
]


async def test_a_payment_finds_its_row_through_the_subscription_in_every_order(harness: Harness) -> None:
    """Whichever link of the chain comes last closes it."""
    in_turn = await ledger_after(harness, [], [[each] for each in SUBSCRIBED])
    for order in permutations(SUBSCRIBED):
        assert await ledger_after(harness, [], [[each] for each in order]) == in_turn
    await harness.apply(*SUBSCRIBED)
    assert await harness.bound(PI) == (HARBOUR, f"inherited:{INVOICE}")
    assert await harness.shown() == ("paid", PI)
    assert await harness.tx.fetchval("SELECT events_id FROM subscription") == HARBOUR


async def test_a_subscription_that_learns_its_row_takes_all_its_payments_along(harness: Harness) -> None:
    """Two years of invoices, then the session at last."""
    months = range(1, 25)
    for month in months:
        paid = {"type": "payment_intent", "payment_intent": f"pi_{month}"}
        await harness.apply(event("invoice.paid", month, id=f"in_{month}"))
        await harness.apply(event("invoice_payment.paid", month, invoice=f"in_{month}", payment=paid))
    assert await harness.shown() == ("pending", None)
    await harness.apply(SUBSCRIBED[0])
    assert await harness.shown() == ("paid", "pi_1")
    assert (
        await harness.tx.fetchval("SELECT count(*) FROM payment WHERE status = 'paid' AND events_id = $1", HARBOUR)
        == 24
    )


async def test_an_older_name_moves_a_payment_and_both_rows_show_it(harness: Harness) -> None:
    """The row that is left is as if the payment had never been there."""
    await harness.apply(intent("succeeded", 5, metadata=names(HARBOUR)))
    assert await harness.shown(HARBOUR) == ("paid", PI)
    await harness.apply(intent("created", 1, metadata=names(CELLAR)))
    assert await harness.shown(HARBOUR) == ("pending", None)
    assert await harness.shown(CELLAR) == ("paid", PI)


async def test_a_row_that_is_left_gets_back_what_it_said_before(harness: Harness) -> None:
    """A status of an earlier application's own making, and the intent that it had stored."""
    await harness.tx.execute(
        "UPDATE events SET payment_status = 'invoiced', stripe_payment_intent_id = 'pi_old' WHERE id::text = $1",
        HARBOUR,
    )
    await harness.apply(intent("payment_failed", 5, metadata=names(HARBOUR)))
    assert await harness.shown(HARBOUR) == ("failed", PI)
    await harness.apply(intent("created", 1, metadata=names(CELLAR)))
    assert await harness.shown(HARBOUR) == ("invoiced", "pi_old")


async def test_what_says_nothing_is_ignored(harness: Harness) -> None:
    """A setup session has no effect, and is no failure."""
    told = session("completed", mode="setup")
    assert isinstance((await harness.apply(told))[told.stripe_event_id], Ignored)


async def test_a_row_with_several_payments_shows_the_one_that_counts(harness: Harness) -> None:
    """Two attempts: the failed one never hides the paid one; a dispute comes before both."""
    of_row = {"metadata": names(HARBOUR)}
    await harness.apply(intent("succeeded", 1, id="pi_b", **of_row), intent("payment_failed", 9, id="pi_a", **of_row))
    assert await harness.shown() == ("paid", "pi_b")
    await harness.apply(refund("created", 10, payment_intent="pi_b"))
    assert await harness.shown() == ("refunded", "pi_b")
    await harness.apply(event("charge.dispute.created", 11, payment_intent="pi_a"))
    assert await harness.shown() == ("disputed", "pi_a")


async def test_the_receipt_is_the_newest_of_the_rows_webhooks(harness: Harness) -> None:
    """Also of those that came before the row was known, and whatever is processed last; naive, in UTC."""
    names_it, newest, older = (
        intent("created", 1, metadata=names(HARBOUR)),
        intent("succeeded", 5),
        refund("created", 3),
    )
    await harness.receive(names_it, older, newest)
    await harness.tx.execute("SET timezone = 'Asia/Tokyo'")
    await harness.apply_each(newest, names_it, older)
    received = await harness.tx.fetchval("SELECT last_webhook_received::text FROM events WHERE id::text = $1", HARBOUR)
    assert received == "2026-10-30 12:02:00"


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_invoices_and_subscriptions_keep_their_newest_word(harness: Harness, order: Sequence[int]) -> None:
    """By Stripe's clock; within one second the final word wins."""
    words = [
        (event("invoice.created", 1, status="draft"), event("customer.subscription.created", 1, status="incomplete")),
        (event("invoice.paid", 5), event("customer.subscription.updated", 5, status="active")),
        (event("invoice.updated", 5, status="open"), event("customer.subscription.deleted", 5, status="canceled")),
    ]
    for place in order:
        await harness.apply(*words[place])
    assert await harness.tx.fetchval("SELECT status FROM invoice") == "paid"
    assert await harness.tx.fetchval("SELECT status FROM subscription") == "canceled"


async def test_a_name_that_is_no_key_binds_nothing_and_parks_nothing(harness: Harness) -> None:
    """The reference stands in for metadata that mean something else; the raw name stays visible."""
    told = intent("succeeded", metadata=names("summer-party"))
    assert (await harness.apply(told))[told.stripe_event_id] == Applied()
    assert await harness.bound(PI) == (None, None)
    assert await harness.tx.fetchval("SELECT names_event FROM payment_fact") == "summer-party"
    await harness.apply(session("completed", metadata=names("summer-party"), client_reference_id=HARBOUR.upper()))
    assert await harness.bound(PI) == (HARBOUR, "reference")
    assert await harness.shown() == ("paid", PI)


async def test_a_missing_row_is_a_reason_to_try_the_next_name(harness: Harness) -> None:
    """The row that is preferred takes the payment when it appears, and gives it back when it vanishes."""
    told = session("completed", metadata=names(MISSING_ROW), client_reference_id=HARBOUR)
    assert (await harness.apply(told))[told.stripe_event_id] == Applied()
    assert await harness.bound(PI) == (HARBOUR, "reference")
    assert await harness.shown() == ("paid", PI)
    await harness.add_row(MISSING_ROW)
    assert await harness.look() == 1
    assert await harness.bound(PI) == (MISSING_ROW, "metadata")
    assert await harness.shown(MISSING_ROW) == ("paid", PI)
    assert await harness.shown() == ("pending", None)
    await harness.tx.execute("DELETE FROM events WHERE id = sluice_event_key($1)", MISSING_ROW)
    assert await harness.look() == 1
    assert await harness.shown() == ("paid", PI)
