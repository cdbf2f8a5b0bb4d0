from collections.abc import Mapping
from dataclasses import replace

import asyncpg
import pytest

from sluice.simulator.catalog import SCENARIOS, Account
from sluice.simulator.client import Answer, Attempt
from sluice.simulator.day import DayReport, plan_day
from sluice.simulator.deliveries import PLATFORM_PATH, Reason
from sluice.simulator.demo import create_demo_events
from sluice.simulator.healing import learn_healings
from sluice.simulator.report import await_fates, build_table, learn_fates
from tests.ops.rows import Connection, connected

NEEDED = "name text, webhook_secret text, stripe_account_id text, payment_status text DEFAULT 'pending'"
KEYS = {
    "uuid by itself": ("uuid PRIMARY KEY DEFAULT gen_random_uuid()", "uuid"),
    "uuid": ("uuid PRIMARY KEY", "uuid"),
    "bigserial": ("bigserial PRIMARY KEY", "bigint"),
    "identity": ("bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY", "bigint"),
    "bigint": ("bigint PRIMARY KEY", "bigint"),
    "text": ("text PRIMARY KEY", "text"),
}


async def an_events_table(connection: Connection, column: str, key_type: str) -> None:
    """A business table of an application's, and the function that the migration makes for it."""
    await connection.execute(
        f"CREATE TABLE events (id {column}, {NEEDED});"
        f"CREATE FUNCTION sluice_event_key(key text) RETURNS {key_type} LANGUAGE sql STRICT RETURN key::{key_type};"
    )


@pytest.mark.parametrize("key", KEYS)
async def test_rows_are_made_once_whatever_their_key_is(key: str, empty_database_url: str) -> None:
    """A second day finds the first day's rows, secrets and accounts again."""
    async with connected(empty_database_url) as connection:
        await an_events_table(connection, *KEYS[key])
        first = await create_demo_events(connection)
        assert await create_demo_events(connection) == first
        assert await connection.fetchval("SELECT count(*) FROM events") == len(SCENARIOS) == len(first)
    assert len({row.id for row in first}) == len(first)


async def test_each_account_gets_what_it_needs(database_url: str) -> None:
    """A tenant has an account and a secret, a connected account no secret, the platform's rows neither."""
    async with connected(database_url) as connection:
        rows = await create_demo_events(connection)
    for row in rows:
        account = SCENARIOS[row.scenario].account
        assert (row.webhook_secret is not None) is (account is Account.TENANT)
        assert (row.stripe_account_id is not None) is (account is not Account.PLATFORM)


async def test_a_persons_own_row_is_never_touched(database_url: str) -> None:
    """A row that has a scenario's title, but is no demo row, keeps its secret; a broken demo row is mended."""
    title = SCENARIOS["checkout_paid"].title
    async with connected(database_url) as connection:
        mine = "INSERT INTO events (name, webhook_secret) VALUES ($1, 'whsec_mine') RETURNING id::text"
        own_id = await connection.fetchval(mine, title)
        rows = await create_demo_events(connection)
        await connection.execute("UPDATE events SET stripe_account_id = 'acct_wrong' WHERE name LIKE '%(Sluice demo)'")
        mended = await create_demo_events(connection)
        assert (
            await connection.fetchval("SELECT webhook_secret FROM events WHERE id = $1::uuid", own_id) == "whsec_mine"
        )
    assert own_id not in {row.id for row in rows}
    assert mended == rows


async def test_a_database_without_the_table_says_what_to_do(empty_database_url: str) -> None:
    """The demo needs the migration."""
    async with connected(empty_database_url) as connection:
        with pytest.raises(LookupError, match="sluice migrate"):
            await create_demo_events(connection)


async def a_day(connection: Connection) -> DayReport:
    """A day of one scenario, answered as it must be."""
    rows = [row for row in await create_demo_events(connection) if row.scenario in {"declined", "organiser_paid"}]
    deliveries = plan_day("whsec_a", events=rows, seed=3, ends_at=1_900_000_000)
    answers = [Answer(one, (Attempt(one.expected_http_status, 0.01),)) for one in deliveries]
    return DayReport(rows, answers, 3)


async def log_all(connection: Connection, day: DayReport) -> None:
    """Write what ingest and processor would have written."""
    for answer in day.answers:
        one = answer.delivery
        if one.reason is Reason.FORGERY:
            continue
        tenant = one.path.removeprefix(PLATFORM_PATH).removeprefix("/")
        key = one.event.stripe_event_id + (f"@{tenant}" if tenant else "")
        done = await connection.execute(
            "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processed) VALUES ($1, $2, true)"
            " ON CONFLICT DO NOTHING",
            key, one.event.type,
        )  # fmt: skip
        if done.endswith(" 0"):
            await connection.execute("INSERT INTO webhook_delivery (stripe_event_id) VALUES ($1)", key)
    for row in day.events:
        expected = "UPDATE events SET payment_status = $2 WHERE id::text = $1"
        await connection.execute(expected, row.id, row.expected_status)


async def test_a_day_that_went_well_is_told_so(database_url: str) -> None:
    """Rows, duplicates and statuses are counted for each row, the tenant's keys too; the forgery is told apart."""
    async with connected(database_url) as connection:
        day = await a_day(connection)
        await log_all(connection, day)
        fates = await await_fates(connection, day, within_seconds=5)
        repeats = await connection.fetchval("SELECT count(*) FROM webhook_delivery")
    assert all(fate.is_well for fate in fates)
    assert [fate.refused for fate in fates] == [1, 0]
    assert sum(fate.duplicates for fate in fates) == repeats
    assert [fate.rows_logged for fate in fates] == [3, 5]
    assert sum(fate.deliveries for fate in fates) == 8 + repeats
    assert [fate.is_well for fate in fates] == [True, True]
    assert len(build_table(fates).renderables) == 1  # nothing to complain of below the table


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE events SET payment_status = 'pending'",
        "DELETE FROM webhook_logs",
        "UPDATE webhook_logs SET processed = false",
    ],
)
async def test_a_day_that_went_wrong_is_never_told_well(database_url: str, harm: str) -> None:
    """A wrong status, a lost row, an unprocessed row: each one shows."""
    async with connected(database_url) as connection:
        day = await a_day(connection)
        await log_all(connection, day)
        await connection.execute(harm)
        assert not any(fate.is_well for fate in await learn_fates(connection, day))


async def a_lost_webhook(connection: Connection) -> DayReport:
    """A day that went well but for its last webhook, which was not delivered; nothing has found it yet."""
    day = await a_day(connection)
    await log_all(connection, day)
    delivered = [answer.delivery for answer in day.answers if answer.delivery.reason is not Reason.FORGERY]
    lost = replace(next(one for one in delivered if one.path == PLATFORM_PATH), reason=Reason.NEVER)
    kept = [answer for answer in day.answers if answer.delivery.event is not lost.event]
    return replace(day, answers=kept, lost=[lost])


@pytest.mark.parametrize(
    ("source", "harm", "found_by", "is_well"),
    [
        ("reconcile", "", {"reconcile": 1}, True),
        ("thin", "", {"thin": 1}, True),
        ("reconcile", "UPDATE webhook_logs SET processed = false", {"reconcile": 1}, False),
        ("reconcile", "UPDATE events SET payment_status = 'pending'", {"reconcile": 1}, False),
        ("reconcile", "DELETE FROM webhook_found", {}, False),
    ],
)
async def test_a_lost_webhook_is_healed_when_it_is_found_and_has_its_effect(
    database_url: str, source: str, harm: str, found_by: Mapping[str, int], is_well: bool
) -> None:
    """Not found, not processed, or without the status that it leads to: each one shows."""
    async with connected(database_url) as connection:
        day = await a_lost_webhook(connection)
        key = day.lost[0].event.stripe_event_id
        await connection.execute("UPDATE webhook_logs SET verified_by = 'api' WHERE stripe_event_id = $1", key)
        await connection.execute("INSERT INTO webhook_found (stripe_event_id, source) VALUES ($1, $2)", key, source)
        if harm:
            await connection.execute(harm)
        (healing,) = await learn_healings(connection, day, await learn_fates(connection, day))
    assert (healing.missing, healing.found_by, healing.is_well) == (1, found_by, is_well)


async def test_a_forgery_that_got_in_shows(database_url: str) -> None:
    """Answered 400 and logged all the same would be a lie."""
    async with connected(database_url) as connection:
        day = await a_day(connection)
        await log_all(connection, day)
        forged = next(one.delivery.event for one in day.answers if one.delivery.reason is Reason.FORGERY)
        insert = "INSERT INTO webhook_logs (stripe_event_id, webhook_type, processed) VALUES ($1, $2, true)"
        await connection.execute(insert, forged.stripe_event_id, forged.type)
        assert [fate.is_well for fate in await learn_fates(connection, day)] == [False, True]


async def test_two_runs_at_once_make_each_row_once(database_url: str) -> None:
    """The table has no unique name, so they take turns."""
    async with connected(database_url) as one, connected(database_url) as other, connected(database_url) as third:
        waiting = one.transaction()
        await waiting.start()
        first = await create_demo_events(one)
        await other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await create_demo_events(other)
        await waiting.commit()
        assert await create_demo_events(third) == first
