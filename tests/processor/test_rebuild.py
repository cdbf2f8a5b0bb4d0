"""An upgrade keeps what was bound rightly, mends what was not, and says so."""

import asyncpg

from sluice.postgres.migrator import migrate
from tests.ops.cli import cli, cli_json
from tests.payments.harness import ACCOUNT, Harness
from tests.payments.history import PI, event, intent, names, session
from tests.payments.strategies import CELLAR, HARBOUR

ORGANISER = "00000000-0000-4000-8000-00000000000c"
BUYER = "7d1c0a52-51c8-4b8f-9d5e-0a4f6a1b2c3d"
RIGHT = intent("succeeded", 1, id="pi_right", metadata=names(CELLAR))
FOREIGN = [intent("succeeded", 1), session("completed", 2, client_reference_id=BUYER)]
DESTINED = intent("succeeded", 1, id="pi_dest", metadata=names(ORGANISER), transfer_data={"destination": ACCOUNT})
INVOICE = event("invoice.paid", 3, metadata=names("00000000-0000-4000-8000-00000000000d"))

# What the release before had made of them.
BEFORE = f"""
INSERT INTO events (id, payment_status, stripe_payment_intent_id, stripe_account_id) VALUES
    ('{HARBOUR}', 'pending', '{PI}', NULL), ('{CELLAR}', 'paid', 'pi_right', NULL),
    ('{ORGANISER}', 'pending', NULL, '{ACCOUNT}'), ('00000000-0000-4000-8000-00000000000d', 'pending', NULL, NULL);
INSERT INTO payment (scope, payment_id, events_id, bound_by, status, rank, awaits_event) VALUES
    ('live:platform', '{PI}', '{BUYER}', 'reference', 'paid', 1, true),
    ('live:platform', 'pi_right', '{CELLAR}', 'metadata', 'paid', 1, false),
    ('live:platform', 'pi_dest', '{ORGANISER}', 'metadata', 'paid', 1, false),
    ('live:platform', 'in_1', '00000000-0000-4000-8000-00000000000d', 'metadata', NULL, NULL, false);
INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind, status, names_event, named_by) VALUES
    ('live:platform', '{PI}', '{FOREIGN[0].stripe_event_id}', to_timestamp({FOREIGN[0].created}), 'intent', 'paid', NULL, NULL),
    ('live:platform', '{PI}', '{FOREIGN[1].stripe_event_id}', to_timestamp({FOREIGN[1].created}), 'session', 'paid', '{BUYER}', 'reference'),
    ('live:platform', '{PI}', 'stored:{HARBOUR}', 'epoch', 'stored', NULL, '{HARBOUR}', 'stored'),
    ('events', '{HARBOUR}', 'stored', 'epoch', 'stored', 'pending', NULL, NULL),
    ('live:platform', 'pi_right', '{RIGHT.stripe_event_id}', to_timestamp({RIGHT.created}), 'intent', 'paid', '{CELLAR}', 'metadata'),
    ('live:platform', 'pi_dest', '{DESTINED.stripe_event_id}', to_timestamp({DESTINED.created}), 'intent', 'paid', '{ORGANISER}', 'metadata'),
    ('live:platform', 'in_1', '{INVOICE.stripe_event_id}', to_timestamp({INVOICE.created}), 'invoice', 'paid', '00000000-0000-4000-8000-00000000000d', 'metadata');
"""  # noqa: E501, S608  values of this module
WANTED = {HARBOUR: "paid", CELLAR: "paid", ORGANISER: "paid", "00000000-0000-4000-8000-00000000000d": "paid"}


async def upgraded(url: str) -> Harness:
    """A database that the release before had worked on."""
    await migrate(url)
    connection = await asyncpg.connect(url, timeout=10)
    await connection.execute(BEFORE)
    for told in (RIGHT, *FOREIGN, DESTINED, INVOICE):
        await connection.execute(
            "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, processed, outcome) "
            "VALUES ($1, $2, $3, true, 'applied')",
            told.stripe_event_id,
            told.type,
            told.body,
        )
    return Harness(connection)


async def statuses(harness: Harness) -> dict[str, str]:
    """The status of each row."""
    return {row[0]: row[1] for row in await harness.tx.fetch("SELECT id::text, payment_status FROM events")}


async def test_the_services_alone_mend_what_the_ledger_holds(empty_database_url: str) -> None:
    """Without a command: bindings and paid invoices; only what the ledger never held takes a rebuild."""
    harness = await upgraded(empty_database_url)
    try:
        while await harness.look():
            pass
        assert await statuses(harness) == {**WANTED, ORGANISER: "pending"}
    finally:
        await _close(harness)


async def test_a_rebuild_mends_the_rest_and_says_which_rows_and_why(empty_database_url: str) -> None:
    """A dry run changes nothing and tells the same; a second run finds nothing to change."""
    harness = await upgraded(empty_database_url)
    try:
        before = await statuses(harness)
        planned = await cli_json("rebuild", "--dry-run", DATABASE_URL=empty_database_url)
        assert await statuses(harness) == before
        done = await cli_json("rebuild", DATABASE_URL=empty_database_url)
        assert await statuses(harness) == WANTED
        assert [row["events_id"] for row in done["rows"]] == [row["events_id"] for row in planned["rows"]]
        told = {row["events_id"]: (row["status_before"], row["status"], row["bound_by"]) for row in done["rows"]}
        assert told == {
            HARBOUR: ("pending", "paid", "stored"),
            ORGANISER: ("pending", "paid", "metadata"),
            "00000000-0000-4000-8000-00000000000d": ("pending", "paid", "metadata"),
        }
        again = await cli("rebuild", DATABASE_URL=empty_database_url)
        assert "No events row changes." in again.stdout
        assert (await cli_json("rebuild", DATABASE_URL=empty_database_url))["corrected"] == 0
    finally:
        await _close(harness)


async def test_a_rebuild_leaves_what_it_cannot_read(empty_database_url: str) -> None:
    """It names the webhook, and its facts stay."""
    harness = await upgraded(empty_database_url)
    try:
        await harness.tx.execute(
            "UPDATE webhook_logs SET body = 'junk' WHERE stripe_event_id = $1", RIGHT.stripe_event_id
        )
        done = await cli_json("rebuild", DATABASE_URL=empty_database_url)
        assert done["unreadable"] == [RIGHT.stripe_event_id]
        assert (await statuses(harness))[CELLAR] == "paid"
    finally:
        await _close(harness)


async def _close(harness: Harness) -> None:
    assert isinstance(harness.tx, asyncpg.Connection)
    await harness.tx.close(timeout=5)
