"""Rows that appear, change and vanish in any order with the webhooks end with the same status."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.payments.row_watch import RowWatch
from sluice.contract.event import StripeEvent
from sluice.outcomes import Applied, Parked
from sluice.payments.recompute import Node
from tests.payments.harness import ACCOUNT, Harness
from tests.payments.history import (
    INVOICE,
    PI,
    SUBSCRIPTION,
    charge,
    event,
    intent,
    names,
    parent,
    refund,
    session,
)
from tests.payments.strategies import CELLAR, HARBOUR, MISSING_ROW, any_event, metadata, references, times

ORGANISER = "00000000-0000-4000-8000-00000000000c"
BUYER = "7d1c0a52-51c8-4b8f-9d5e-0a4f6a1b2c3d"
_MOST_LOOKS = 12

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


@dataclass(frozen=True)
class Row:
    """One step of an ``events`` row: it is written like this, or goes."""

    events_id: str
    columns: Mapping[str, str] | None

    async def happen(self, harness: Harness) -> None:
        """Insert, update or delete it, as an application does."""
        if self.columns is None:
            await harness.tx.execute("DELETE FROM events WHERE id = sluice_event_key($1)", self.events_id)
            return
        await harness.tx.execute(
            "INSERT INTO events (id) VALUES (sluice_event_key($1)) ON CONFLICT DO NOTHING", self.events_id
        )
        for column, value in self.columns.items():
            await harness.tx.execute(
                f"UPDATE events SET {column} = $2 WHERE id = sluice_event_key($1)",  # noqa: S608
                self.events_id,
                value,
            )


@st.composite
def lives(draw: st.DrawFn) -> list[Row]:
    """Draw one row's history: it may come late, store an id or get an account later, vanish, and come again."""
    events_id = draw(st.sampled_from((HARBOUR, CELLAR, MISSING_ROW, ORGANISER)))
    account = {"stripe_account_id": ACCOUNT} if events_id == ORGANISER else {}
    stored = {"stripe_payment_intent_id": PI} if events_id == CELLAR else {}
    steps = [{}, account, {**account, **stored}][draw(st.integers(0, 2)) :]
    written = [Row(events_id, columns) for columns in steps]
    vanishes, comes_again = draw(st.booleans()), draw(st.booleans())
    if not vanishes:
        return written
    again = [Row(events_id, {**account, **stored})] if comes_again else []
    return [*written, Row(events_id, None), *again]


connected = st.builds(lambda at, own: intent("succeeded", at, account=ACCOUNT, metadata=own), times, metadata)
destined = st.builds(
    lambda at, key: intent("succeeded", at, metadata=names(key), transfer_data={"destination": ACCOUNT}),
    times,
    st.sampled_from((ORGANISER, HARBOUR)),
)
foreign = st.builds(
    lambda at, own, reference: session("completed", at, metadata=own, client_reference_id=reference),
    times,
    metadata,
    st.one_of(references, st.sampled_from((BUYER, MISSING_ROW, ORGANISER))),
)


@st.composite
def days(draw: st.DrawFn) -> tuple[list[StripeEvent], list[Row], list[StripeEvent | Row]]:
    """Some webhooks, the rows as they are in the end, and all of it as it happened, each row's steps in their order."""
    told = draw(st.lists(st.one_of(any_event, connected, destined, foreign), min_size=1, max_size=6))
    distinct = list({one.stripe_event_id: one for one in told}.values())
    rows = {one[0].events_id: one for one in draw(st.lists(lives(), max_size=3))}
    happened: list[StripeEvent | Row] = list(draw(st.permutations(distinct)))
    for steps in rows.values():
        place = 0
        for step in steps:
            place = draw(st.integers(place, len(happened)))
            happened.insert(place, step)
            place += 1
    return distinct, [_last(steps) for steps in rows.values()], happened


def _last(steps: Sequence[Row]) -> Row:
    """The row as it is in the end: what was written since it last vanished, together."""
    columns: dict[str, str] | None = None
    for step in steps:
        columns = None if step.columns is None else {**(columns or {}), **step.columns}
    return Row(steps[0].events_id, columns)


async def settle(harness: Harness) -> None:
    """Let the watch look until it finds nothing."""
    for _ in range(_MOST_LOOKS):
        if await harness.look() == 0:
            return
    raise AssertionError("the watch finds the same payments again and again")


async def statuses(harness: Harness) -> Mapping[str, str]:
    """The status of each row."""
    return {row[0]: row[1] for row in await harness.tx.fetch("SELECT id::text, payment_status FROM events ORDER BY id")}


async def after(harness: Harness, happened: Sequence[StripeEvent | Row], *, looks: bool) -> Mapping[str, str]:
    """The statuses after all this; nothing of it stays."""
    undo = harness.tx.transaction()
    await undo.start()
    try:
        await harness.tx.execute("DELETE FROM events WHERE id <> sluice_event_key($1)", HARBOUR)
        for one in happened:
            await (one.happen(harness) if isinstance(one, Row) else harness.apply(one))
            if looks:
                await harness.look()
        await settle(harness)
        return await statuses(harness)
    finally:
        await undo.rollback()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(day=days(), looks=st.booleans())
async def test_rows_and_webhooks_in_any_order_end_in_the_same_status(
    harness: Harness, day: tuple[list[StripeEvent], list[Row], list[StripeEvent | Row]], *, looks: bool
) -> None:
    """As if the rows had been there from the beginning as they are in the end, and no other."""
    told, rows, happened = day
    assert await after(harness, happened, looks=looks) == await after(harness, [*rows, *told], looks=False)


async def test_a_reference_to_no_row_leaves_the_stored_binding(harness: Harness) -> None:
    """A buyer's own id is no row's key: whichever comes first, the row that stores the intent stays paid."""
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    told = [intent("succeeded", 1), session("completed", 2, client_reference_id=BUYER)]
    for order in permutations(told):
        undo = harness.tx.transaction()
        await undo.start()
        outcomes = [(await harness.apply(one))[one.stripe_event_id] for one in order]
        assert outcomes == [Applied(), Applied()]
        assert await harness.shown() == ("paid", PI)
        await undo.rollback()


async def test_a_reference_to_no_row_leaves_what_a_subscription_named(harness: Harness) -> None:
    """The invoice or subscription above the payment names a row that exists: the strongest naming that is satisfied."""
    told = [
        event("customer.subscription.created", 1, metadata=names(HARBOUR)),
        event("invoice.paid", 2, parent=parent()),
        event("invoice_payment.paid", 2),
        session(
            "completed", 3, mode="subscription", payment_intent=None, subscription=SUBSCRIPTION, invoice=INVOICE,
            client_reference_id=BUYER,
        ),
    ]  # fmt: skip
    await harness.apply_each(*told)
    assert await harness.shown() == ("paid", PI)
    await harness.add_row(BUYER)
    await settle(harness)
    assert await harness.shown(BUYER) == ("paid", PI)
    assert await harness.shown() == ("pending", None)


async def test_an_event_that_names_a_row_of_another_account_is_applied(harness: Harness) -> None:
    """The row exists, so nothing is waited for; the payment stays with the row that may show it."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT)
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = $1 WHERE id::text = $2", PI, HARBOUR)
    told = intent("succeeded", metadata=names(ORGANISER))
    assert (await harness.apply(told))[told.stripe_event_id] == Applied()
    assert await harness.shown() == ("paid", PI)
    assert await harness.shown(ORGANISER) == ("pending", None)


async def test_an_event_is_parked_only_while_no_naming_is_satisfied(harness: Harness) -> None:
    """Of two names neither of which exists, the first that appears ends the waiting."""
    told = session("completed", metadata=names(MISSING_ROW), client_reference_id=BUYER)
    assert (await harness.apply(told))[told.stripe_event_id] == Parked(min(MISSING_ROW, BUYER))
    await harness.add_row(BUYER)
    assert (await harness.apply(told))[told.stripe_event_id] == Applied()
    assert await harness.shown(BUYER) == ("paid", PI)


@pytest.mark.parametrize("write", ["insert", "update"])
async def test_a_row_that_stores_the_intent_later_shows_it(harness: Harness, write: str) -> None:
    """The application writes the id after the webhook came: no other webhook is needed."""
    await harness.apply(intent("succeeded"))
    row = Row(MISSING_ROW if write == "insert" else HARBOUR, {"stripe_payment_intent_id": PI})
    await row.happen(harness)
    await settle(harness)
    assert await harness.shown(row.events_id) == ("paid", PI)
    assert await harness.look() == 0


async def test_a_row_that_gets_its_account_later_shows_that_accounts_payments(harness: Harness) -> None:
    """And no more those of the platform that it showed before."""
    await harness.add_row(ORGANISER)
    await harness.apply(intent("succeeded", account=ACCOUNT, id="pi_own", metadata=names(ORGANISER)))
    await harness.apply(intent("payment_failed", metadata=names(ORGANISER)))
    assert await harness.shown(ORGANISER) == ("failed", PI)
    await Row(ORGANISER, {"stripe_account_id": ACCOUNT}).happen(harness)
    await settle(harness)
    assert await harness.shown(ORGANISER) == ("paid", "pi_own")


async def test_a_row_that_is_made_anew_shows_its_payments_again(harness: Harness) -> None:
    """Deleted and restored without what Sluice had written."""
    await harness.apply(intent("succeeded", metadata=names(HARBOUR)))
    await Row(HARBOUR, None).happen(harness)
    await settle(harness)
    await harness.add_row(HARBOUR)
    await settle(harness)
    assert await harness.shown() == ("paid", PI)


@pytest.mark.parametrize(
    "told",
    [
        intent("succeeded", metadata=names(ORGANISER), transfer_data={"destination": ACCOUNT}),
        intent("succeeded", metadata=names(ORGANISER), on_behalf_of=ACCOUNT),
        charge("succeeded", metadata=names(ORGANISER), transfer_data={"destination": {"id": ACCOUNT}}),
        charge("succeeded", metadata=names(ORGANISER), destination=ACCOUNT),
    ],
    ids=["destination", "on_behalf_of", "expanded", "charge of before 2017"],
)
async def test_the_platforms_charge_for_an_account_is_that_accounts_rows(harness: Harness, told: StripeEvent) -> None:
    """Refunds and disputes of it, which tell of no account, too."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT)
    await harness.apply(told)
    assert await harness.shown(ORGANISER) == ("paid", PI)
    await harness.apply(refund("created", 3))
    assert (await harness.shown(ORGANISER))[0] in {"refunded", "partially_refunded"}


async def test_a_stored_destination_charge_shows_on_its_accounts_row(harness: Harness) -> None:
    """The application stored the platform's intent in the row of the account that gets the money."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT, stripe_payment_intent_id=PI)
    await harness.apply(intent("succeeded", transfer_data={"destination": ACCOUNT}))
    assert await harness.shown(ORGANISER) == ("paid", PI)


async def test_a_connected_account_cannot_name_a_beneficiary(harness: Harness) -> None:
    """Only the platform's own charges may be for another account."""
    await harness.add_row(ORGANISER, stripe_account_id=ACCOUNT)
    told = intent("succeeded", account="acct_Other", metadata=names(ORGANISER), on_behalf_of=ACCOUNT)
    await harness.apply(told)
    await settle(harness)
    assert await harness.shown(ORGANISER) == ("pending", None)


async def test_every_payment_is_looked_at_in_turn(harness: Harness) -> None:
    """However many wait: each look costs the same, and all of them together miss none."""
    await harness.apply(*(intent("succeeded", id=f"pi_{number}") for number in range(30)))
    await Row(MISSING_ROW, {"stripe_payment_intent_id": "pi_3"}).happen(harness)
    await Row(CELLAR, {"stripe_payment_intent_id": "pi_29"}).happen(harness)
    watch = RowWatch(newest=2, in_turn=4)
    found: set[Node] = set()
    for _ in range(20):
        found.update(await watch.take(harness.tx, 10))
    assert {node.payment_id for node in found} == {"pi_3", "pi_29"}


async def test_one_processor_looks_at_a_time(harness: Harness, connect: Connect) -> None:
    """Replicas share the work of no payment; the others find nothing meanwhile."""
    await harness.apply(intent("succeeded"))
    await Row(MISSING_ROW, {"stripe_payment_intent_id": PI}).happen(harness)
    other = await connect()
    async with other.transaction():
        assert len(await RowWatch().take(other, 10)) == 1
        assert await RowWatch().take(harness.tx, 10) == ()
    assert len(await RowWatch().take(harness.tx, 10)) == 1
