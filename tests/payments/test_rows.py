"""Which ``events`` rows an event may touch, which it waits for, and what a row had stored before."""

from collections.abc import Callable
from itertools import permutations

import asyncpg
import pytest

from sluice.outcomes import Applied, Parked
from tests.payments.harness import ACCOUNT, Harness
from tests.payments.history import INVOICE, PI, SUBSCRIPTION, event, intent, names, session
from tests.payments.strategies import CELLAR, HARBOUR, MISSING_ROW
from tests.template import apply_migrations

ORGANISER = "00000000-0000-4000-8000-00000000000c"


async def test_a_connected_account_touches_its_own_row_alone(harness: Harness) -> None:
    """Neither the platform's nor another account's, whatever it names."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT)
    before = await harness.contents()
    for victim in (HARBOUR, ORGANISER):
        forged = intent("succeeded", account="acct_Other", id=f"pi_{victim[-1]}", metadata=names(victim))
        await harness.receive(forged)
        assert (await harness.apply(forged))[forged.stripe_event_id] == Applied()
    assert (await harness.contents())["events"] == before["events"]
    await harness.apply(intent("succeeded", account=ACCOUNT, metadata=names(ORGANISER)))
    assert await harness.shown(ORGANISER) == ("paid", PI)


async def test_the_platform_does_not_touch_an_organisers_row(harness: Harness) -> None:
    """A row with an account belongs to that account."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT)
    await harness.apply(intent("succeeded", metadata=names(ORGANISER)))
    assert await harness.shown(ORGANISER) == ("pending", None)


async def test_a_tenants_forged_event_changes_nothing_of_anothers(harness: Harness) -> None:
    """About another's payment and naming another's row: it ends on the tenant's own row, in the tenant's own scope."""
    await harness.apply(intent("succeeded", metadata=names(HARBOUR)))
    before = await harness.contents()
    forged = [
        intent("canceled", 9, tenant=CELLAR, metadata=names(HARBOUR)),
        event("charge.dispute.created", 9, tenant=CELLAR, metadata=names(HARBOUR)),
        session("completed", 9, tenant=CELLAR, client_reference_id=HARBOUR),
    ]
    await harness.receive(*forged)
    await harness.apply(*forged)
    after = await harness.contents()
    assert [row for row in after["payment"] if row["scope"] == "live:platform"] == before["payment"]
    assert [row for row in after["events"] if row["id"] == HARBOUR] == before["events"][:1]
    assert await harness.shown(CELLAR) == ("disputed", PI)


async def test_a_forged_naming_does_not_lock_anothers_row(harness: Harness) -> None:
    """Else a stranger could make the owner's payments wait."""
    undo = harness.tx.transaction()
    await undo.start()
    await harness.apply(intent("succeeded", account="acct_Other", metadata=names(HARBOUR)))
    locks = await harness.tx.fetchval("SELECT count(*) FROM events WHERE xmax <> 0")
    await undo.rollback()
    assert locks == 0


async def test_an_event_that_names_a_missing_row_is_parked_and_its_facts_stay(harness: Harness) -> None:
    """One that names none is applied, though its payment waits too."""
    named, unnamed = intent("created", 1, metadata=names(MISSING_ROW)), intent("succeeded", 5)
    outcomes = await harness.apply(named, unnamed)
    assert outcomes[named.stripe_event_id] == Parked(MISSING_ROW)
    assert outcomes[unnamed.stripe_event_id] == Applied()
    assert await harness.tx.fetchval("SELECT count(*) FROM payment_fact") == 2
    assert await harness.tx.fetchval("SELECT awaits_event FROM payment")


async def test_a_parked_event_applies_once_its_row_is_there(harness: Harness) -> None:
    """The next attempt finds the facts that the first has left."""
    told = intent("succeeded", metadata=names(MISSING_ROW))
    await harness.apply(told)
    await harness.add_row(MISSING_ROW)
    assert (await harness.apply(told))[told.stripe_event_id] == Applied()
    assert await harness.shown(MISSING_ROW) == ("paid", PI)
    assert not await harness.tx.fetchval("SELECT awaits_event FROM payment")


async def test_a_row_that_appears_after_the_webhook_died_is_projected(harness: Harness) -> None:
    """By the healing job alone, receipt included; and once."""
    told = intent("succeeded", metadata=names(MISSING_ROW))
    await harness.receive(told)
    await harness.apply(told)
    assert await harness.look() == 0
    await harness.add_row(MISSING_ROW)
    assert await harness.look() == 1
    assert await harness.shown(MISSING_ROW) == ("paid", PI)
    received = await harness.tx.fetchval(
        "SELECT last_webhook_received::text FROM events WHERE id::text = $1", MISSING_ROW
    )
    assert received == "2026-10-30 12:00:00"
    assert await harness.look() == 0


async def test_healing_projects_nothing_on_another_accounts_row(harness: Harness) -> None:
    """The row that appears belongs to another account."""
    await harness.apply(intent("succeeded", account="acct_Other", metadata=names(MISSING_ROW)))
    await harness.add_row(MISSING_ROW, stripe_account_id=ACCOUNT)
    assert await harness.look() == 0
    assert await harness.shown(MISSING_ROW) == ("pending", None)


async def test_healing_takes_no_more_than_it_is_told(harness: Harness) -> None:
    """A limit keeps its transaction short; the next round takes the rest."""
    await harness.apply(*(intent("succeeded", id=f"pi_{number}", metadata=names(MISSING_ROW)) for number in range(5)))
    await harness.add_row(MISSING_ROW)
    assert [await harness.look(2) for _ in range(4)] == [2, 2, 1, 0]


async def test_payments_of_a_subscription_wait_with_it(harness: Harness) -> None:
    """A payment that inherits a missing row is projected when the row appears."""
    waits = session("completed", mode="subscription", subscription=SUBSCRIPTION, client_reference_id=MISSING_ROW)
    outcomes = await harness.apply(waits, event("invoice.paid"), event("invoice_payment.paid"))
    assert outcomes[waits.stripe_event_id] == Parked(MISSING_ROW)
    await harness.add_row(MISSING_ROW)
    assert await harness.look() == 3
    assert await harness.shown(MISSING_ROW) == ("paid", PI)
    assert await harness.bound(PI) == (MISSING_ROW, f"inherited:{INVOICE}")


async def test_a_stored_intent_binds_a_payment_that_names_nothing(harness: Harness) -> None:
    """As applications do that create the intent themselves."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    await harness.apply(intent("succeeded"))
    assert await harness.bound(PI) == (HARBOUR, "stored")
    assert await harness.shown() == ("paid", PI)


async def test_a_stored_intent_of_another_account_binds_nothing(harness: Harness) -> None:
    """The row's owner stored an id; a stranger's payment of that id is another payment."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    await harness.apply(intent("succeeded", account="acct_Other"))
    assert await harness.bound(PI) == (None, None)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_stored_intent_is_remembered_when_another_payment_takes_its_place(
    harness: Harness, order: tuple[int, ...]
) -> None:
    """The row stores one intent, another names the row: both are the row's, in any order."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    told = [
        intent("created", 1),
        intent("succeeded", 2),
        intent("payment_failed", 3, id="pi_0", metadata=names(HARBOUR)),
    ]
    await harness.apply_each(*(told[place] for place in order))
    assert await harness.bound(PI) == (HARBOUR, "stored")
    assert await harness.bound("pi_0") == (HARBOUR, "metadata")
    assert await harness.shown() == ("paid", PI)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_sluice_showed_on_a_row_is_no_stored_intent(harness: Harness, order: tuple[int, ...]) -> None:
    """Else it would depend on who came first whether the platform's payment of the same id belongs to the row."""
    told = [
        intent("succeeded", 1, tenant=HARBOUR),
        intent("processing", 2),
        event("charge.dispute.created", 3, payment_intent="pi_0", metadata=names(HARBOUR)),
    ]
    await harness.apply_each(*(told[place] for place in order))
    assert await harness.shown() == ("disputed", "pi_0")
    unbound = await harness.tx.fetchval("SELECT scope FROM payment WHERE events_id IS NULL")
    assert unbound == "live:platform"


async def test_a_strangers_payment_with_the_stored_id_does_not_make_the_row_forget(harness: Harness) -> None:
    """In one batch with the payment that replaces the stored intent, even."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    forged = intent("succeeded", account="acct_Other", metadata=names(HARBOUR))
    await harness.apply(forged)
    await harness.apply(forged, intent("payment_failed", 3, id="pi_0", metadata=names(HARBOUR)))
    await harness.apply(intent("succeeded", 5))
    assert await harness.shown() == ("paid", PI)


async def test_the_processors_role_may_do_all_this(harness: Harness, role_url: Callable[[str], str]) -> None:
    """With the least privilege that the migration gives it."""
    connection = await asyncpg.connect(role_url("processor"), timeout=10)
    try:
        limited = Harness(connection)
        await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = 'pi_old' WHERE id::text = $1", HARBOUR)
        named = session("completed", mode="subscription", subscription=SUBSCRIPTION, client_reference_id=HARBOUR)
        await limited.apply(named, event("invoice.paid"), event("customer.subscription.created"), intent("succeeded"))
        await limited.apply(event("invoice_payment.paid"), intent("succeeded", id="pi_2", metadata=names(MISSING_ROW)))
        await harness.add_row(MISSING_ROW)
        assert await limited.look() == 1
    finally:
        await connection.close(timeout=5)
    assert await harness.shown(HARBOUR) == ("paid", PI)
    assert await harness.shown(MISSING_ROW) == ("paid", "pi_2")


@pytest.mark.parametrize(("key_type", "key"), [("bigint", "7"), ("text", "gala-7")])
async def test_rows_may_have_keys_of_other_types(empty_database_url: str, key_type: str, key: str) -> None:
    """The user's own table decides what can be a key."""
    connection = await asyncpg.connect(empty_database_url, timeout=10)
    try:
        await connection.execute(
            f"CREATE TABLE events (id {key_type} PRIMARY KEY, name text, created_at timestamptz DEFAULT now())"
        )
        await apply_migrations(empty_database_url)
        harness = Harness(connection)
        await harness.add_row(key)
        await harness.apply(session("completed", metadata=names(""), client_reference_id=key))
        assert await harness.shown(key) == ("paid", PI)
        await harness.apply(intent("succeeded", tenant=key, id="pi_2"), event("charge.dispute.created", tenant=key))
        assert await harness.shown(key) == ("disputed", PI)
    finally:
        await connection.close(timeout=5)
