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
from sluice.simulator.catalog import STORIES, tell
from tests.payments.desk import Desk
from tests.payments.history import INVOICE, NOON, PI, SUBSCRIPTION, event, intent, names, refund, session
from tests.payments.strategies import CELLAR, HARBOUR, NOBODY, retold

_ON_ONE_DATABASE = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def ledger_after(
    desk: Desk, received: Sequence[StripeEvent], batches: Sequence[Sequence[StripeEvent]]
) -> Mapping[str, Sequence[asyncpg.Record]]:
    """What is in the database after these batches; nothing of it stays."""
    undo = desk.tx.transaction()
    await undo.start()
    try:
        await desk.receive(*received)
        for batch in batches:
            await desk.apply(*batch)
        return await desk.contents()
    finally:
        await undo.rollback()


@_ON_ONE_DATABASE
@given(told=retold(), cuts=st.sets(st.integers(1, 15)), stored=st.sampled_from((None, PI, "pi_legacy")))
async def test_order_repeats_and_batches_do_not_matter(
    desk: Desk, told: tuple[list[StripeEvent], list[StripeEvent]], cuts: set[int], stored: str | None
) -> None:
    """One by one in Stripe's order, or shuffled, repeated and cut anyhow: the same ledger and the same rows."""
    history, again = told
    await desk.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", stored, CELLAR)
    edges = [0, *sorted(cut for cut in cuts if cut < len(again)), len(again)]
    batches = [again[start:end] for start, end in pairwise(edges)]
    one_by_one = await ledger_after(desk, history, [[each] for each in history])
    assert await ledger_after(desk, history, batches) == one_by_one


async def test_every_story_of_the_simulator_ends_as_it_says(desk: Desk) -> None:
    """Forwards, backwards and in one batch."""
    for name, story in STORIES.items():
        told = [read_event(one.body) for one in tell(story, Subject("Night", HARBOUR), seed="1", ends_at=NOON)]
        for batches in ([[one] for one in told], [[one] for one in reversed(told)], [told]):
            contents = await ledger_after(desk, told, batches)
            assert (name, contents["events"][0]["payment_status"]) == (name, story.expected_status)


SUBSCRIBED = [
    session("completed", 9, mode="subscription", subscription=SUBSCRIPTION, client_reference_id=HARBOUR),
    event("customer.subscription.created", 1),
    event("invoice.paid", 3),
    event("invoice_payment.paid", 3),
    intent("succeeded", 2),
]


async def test_a_payment_finds_its_row_through_the_subscription_in_every_order(desk: Desk) -> None:
    """Whichever link of the chain comes last closes it."""
    in_turn = await ledger_after(desk, [], [[each] for each in SUBSCRIBED])
    for order in permutations(SUBSCRIBED):
        assert await ledger_after(desk, [], [[each] for each in order]) == in_turn
    await desk.apply(*SUBSCRIBED)
    assert await desk.bound(PI) == (HARBOUR, f"inherited:{INVOICE}")
    assert await desk.shown() == ("paid", PI)
    assert await desk.tx.fetchval("SELECT events_id FROM subscription") == HARBOUR


async def test_a_subscription_that_learns_its_row_takes_all_its_payments_along(desk: Desk) -> None:
    """Two years of invoices, then the session at last."""
    months = range(1, 25)
    for month in months:
        paid = {"type": "payment_intent", "payment_intent": f"pi_{month}"}
        await desk.apply(event("invoice.paid", month, id=f"in_{month}"))
        await desk.apply(event("invoice_payment.paid", month, invoice=f"in_{month}", payment=paid))
    assert await desk.shown() == ("pending", None)
    await desk.apply(SUBSCRIBED[0])
    assert await desk.shown() == ("paid", "pi_1")
    assert (
        await desk.tx.fetchval("SELECT count(*) FROM payment WHERE status = 'paid' AND events_id = $1", HARBOUR) == 24
    )


async def test_an_older_name_moves_a_payment_and_both_rows_show_it(desk: Desk) -> None:
    """The row that is left is as if the payment had never been there."""
    await desk.apply(intent("succeeded", 5, metadata=names(HARBOUR)))
    assert await desk.shown(HARBOUR) == ("paid", PI)
    await desk.apply(intent("created", 1, metadata=names(CELLAR)))
    assert await desk.shown(HARBOUR) == ("pending", None)
    assert await desk.shown(CELLAR) == ("paid", PI)


async def test_a_row_that_is_left_gets_back_what_it_said_before(desk: Desk) -> None:
    """A status of an earlier application's own making, and the intent that it had stored."""
    await desk.tx.execute(
        "UPDATE events SET payment_status = 'invoiced', stripe_payment_intent_id = 'pi_old' WHERE id::text = $1",
        HARBOUR,
    )
    await desk.apply(intent("payment_failed", 5, metadata=names(HARBOUR)))
    assert await desk.shown(HARBOUR) == ("failed", PI)
    await desk.apply(intent("created", 1, metadata=names(CELLAR)))
    assert await desk.shown(HARBOUR) == ("invoiced", "pi_old")


async def test_what_says_nothing_is_ignored(desk: Desk) -> None:
    """A setup session has no effect, and is no failure."""
    told = session("completed", mode="setup")
    assert isinstance((await desk.apply(told))[told.stripe_event_id], Ignored)


async def test_a_row_with_several_payments_shows_the_one_that_counts(desk: Desk) -> None:
    """Two attempts: the failed one never hides the paid one; a dispute comes before both."""
    of_row = {"metadata": names(HARBOUR)}
    await desk.apply(intent("succeeded", 1, id="pi_b", **of_row), intent("payment_failed", 9, id="pi_a", **of_row))
    assert await desk.shown() == ("paid", "pi_b")
    await desk.apply(refund("created", 10, payment_intent="pi_b"))
    assert await desk.shown() == ("refunded", "pi_b")
    await desk.apply(event("charge.dispute.created", 11, payment_intent="pi_a"))
    assert await desk.shown() == ("disputed", "pi_a")


async def test_the_receipt_is_the_newest_of_the_rows_webhooks(desk: Desk) -> None:
    """Also of those that came before the row was known, and whatever is processed last; naive, in UTC."""
    names_it, newest, older = (
        intent("created", 1, metadata=names(HARBOUR)),
        intent("succeeded", 5),
        refund("created", 3),
    )
    await desk.receive(names_it, older, newest)
    await desk.tx.execute("SET timezone = 'Asia/Tokyo'")
    await desk.apply_each(newest, names_it, older)
    received = await desk.tx.fetchval("SELECT last_webhook_received::text FROM events WHERE id::text = $1", HARBOUR)
    assert received == "2026-10-30 12:02:00"


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_invoices_and_subscriptions_keep_their_newest_word(desk: Desk, order: Sequence[int]) -> None:
    """By Stripe's clock; within one second the final word wins."""
    words = [
        (event("invoice.created", 1, status="draft"), event("customer.subscription.created", 1, status="incomplete")),
        (event("invoice.paid", 5), event("customer.subscription.updated", 5, status="active")),
        (event("invoice.updated", 5, status="open"), event("customer.subscription.deleted", 5, status="canceled")),
    ]
    for place in order:
        await desk.apply(*words[place])
    assert await desk.tx.fetchval("SELECT status FROM invoice") == "paid"
    assert await desk.tx.fetchval("SELECT status FROM subscription") == "canceled"


async def test_a_name_that_is_no_key_binds_nothing_and_parks_nothing(desk: Desk) -> None:
    """The reference stands in for metadata that mean something else; the raw name stays visible."""
    told = intent("succeeded", metadata=names("summer-party"))
    assert (await desk.apply(told))[told.stripe_event_id] == Applied()
    assert await desk.bound(PI) == (None, None)
    assert await desk.tx.fetchval("SELECT names_event FROM payment_fact") == "summer-party"
    await desk.apply(session("completed", metadata=names("summer-party"), client_reference_id=HARBOUR.upper()))
    assert await desk.bound(PI) == (HARBOUR, "reference")
    assert await desk.shown() == ("paid", PI)


async def test_a_missing_row_is_a_reason_to_try_the_next_name(desk: Desk) -> None:
    """The row that is preferred takes the payment when it appears, and gives it back when it vanishes."""
    told = session("completed", metadata=names(NOBODY), client_reference_id=HARBOUR)
    assert (await desk.apply(told))[told.stripe_event_id] == Applied()
    assert await desk.bound(PI) == (HARBOUR, "reference")
    assert await desk.shown() == ("paid", PI)
    await desk.add_row(NOBODY)
    assert await desk.look() == 1
    assert await desk.bound(PI) == (NOBODY, "metadata")
    assert await desk.shown(NOBODY) == ("paid", PI)
    assert await desk.shown() == ("pending", None)
    await desk.tx.execute("DELETE FROM events WHERE id = sluice_event_key($1)", NOBODY)
    assert await desk.look() == 1
    assert await desk.shown() == ("paid", PI)
