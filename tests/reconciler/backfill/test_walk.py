"""One walk through one list, and what the ledger makes of it."""

import time
from collections.abc import Sequence

from reconciler.backfill.kinds import KINDS
from reconciler.backfill.walk import Backfill
from sluice.contract.event import StripeEvent
from sluice.postgres.pool import Database
from sluice.simulator.stripe_api.faults import too_many
from tests.payments.harness import Harness
from tests.payments.history import PI
from tests.payments.strategies import HARBOUR
from tests.reconciler.asking import asking
from tests.reconciler.backfill.test_command import DAY, TEST_MODE, intent
from tests.reconciler.passing import PLATFORM, logged
from tests.reconciler.thin.fetching import event_of
from tests.stripe_world import offline_stripe

INTENTS = KINDS["payment_intents"]


def backfill(database: Database) -> Backfill:
    """Two years back."""
    return Backfill(database, int(time.time()) - 730 * DAY, is_dry=False)


async def recorded(database: Database) -> Sequence[StripeEvent]:
    """The events in the log, as handlers get them."""
    return [
        event_of(row)
        for row in await database.fetch(
            "SELECT *, sluice_body(body, body_id) AS whole_body FROM webhook_logs ORDER BY stripe_event_id"
        )
    ]


async def test_a_list_goes_on_where_the_object_is_gone_that_it_would_go_on_behind(database: Database) -> None:
    """It is asked for by time instead; all others are recorded."""
    world = offline_stripe()
    for number in range(250):
        world.put_object(intent(number), TEST_MODE)
    async with asking(world) as api:
        await backfill(database).run(
            api, PLATFORM, INTENTS, progress=lambda _: world.objects[TEST_MODE]["payment_intent"].remove("pi_99")
        )
    assert len(await logged(database)) == 250


async def test_objects_of_one_second_are_all_recorded(database: Database) -> None:
    """Also where they fill more than a page."""
    world = offline_stripe()
    for number in range(250):
        world.put_object({**intent(number), "created": int(time.time()) - DAY}, TEST_MODE)
    async with asking(world) as api:
        await backfill(database).run(api, PLATFORM, INTENTS)
    assert len(await logged(database)) == 250


async def test_a_rate_limit_is_waited_for(database: Database) -> None:
    """As long as Stripe asks; nothing is left out."""
    world = offline_stripe()
    world.put_object(intent(1), TEST_MODE)
    world.faults.add([too_many(retry_after_seconds=0.05)])
    async with asking(world) as api:
        report = await backfill(database).run(api, PLATFORM, INTENTS)
    assert (report.filled, report.is_well) == (1, True)


async def test_a_row_shows_the_payment_that_it_is_named_by(database: Database, harness: Harness) -> None:
    """A payment of which no webhook ever came."""
    world = offline_stripe()
    world.put_object({**intent(1), "id": PI, "metadata": {"event_id": HARBOUR}}, TEST_MODE)
    async with asking(world) as api:
        await backfill(database).run(api, PLATFORM, INTENTS)
    await harness.apply(*await recorded(database))
    assert await harness.shown() == ("paid", PI)


async def test_subscriptions_and_invoices_have_their_state(database: Database, harness: Harness) -> None:
    """In the tables that show the newest state of each."""
    world = offline_stripe()
    created = int(time.time()) - DAY
    world.put_object({"id": "sub_1", "object": "subscription", "created": created, "status": "canceled"}, TEST_MODE)
    world.put_object({"id": "in_1", "object": "invoice", "created": created, "status": "open"}, TEST_MODE)
    async with asking(world) as api:
        for kind in ("subscriptions", "invoices"):
            await backfill(database).run(api, PLATFORM, KINDS[kind])
    await harness.apply(*await recorded(database))
    rows = await harness.tx.fetch("SELECT status FROM subscription UNION ALL SELECT status FROM invoice")
    assert sorted(row["status"] for row in rows) == ["canceled", "open"]
