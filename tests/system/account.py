"""The account when the dust has settled: nothing that was acknowledged is missing, nothing happened twice."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from tests.waiting import until

# What an earlier test wrote; the ledger stays, for what is in it must not come twice either.
FRESH = """
TRUNCATE webhook_logs, webhook_delivery, error_logs;
DROP TABLE IF EXISTS effect;
DROP FUNCTION IF EXISTS note_effect CASCADE;
"""

# A sink that trusts no other part: no unique constraint, and it hears of every row that becomes processed, in the very
# transaction that makes it so. A second effect would be a second row.
SINK = """
CREATE TABLE effect (stripe_event_id text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION note_effect() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO effect (stripe_event_id) VALUES (NEW.stripe_event_id);
    RETURN NULL;
END $$;
CREATE TRIGGER note_effect AFTER UPDATE OF processed ON webhook_logs
    FOR EACH ROW WHEN (NEW.processed) EXECUTE FUNCTION note_effect();
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The books, after everything came to rest."""

    missing: frozenset[str]
    """Acknowledged and not in the log."""
    unprocessed: frozenset[str]
    twice: frozenset[str]
    """Processed more than once."""
    facts_twice: int
    dead: int
    unpaid_events: int
    """Rows of ``events`` whose payments all succeeded and that do not say so."""

    @property
    def balances(self) -> bool:
        """Whether nothing is missing, open, double or dead."""
        return self == Account(frozenset(), frozenset(), frozenset(), 0, 0, 0)


async def settle(connection: "asyncpg.Connection[asyncpg.Record]", *, within_seconds: float) -> None:
    """Wait until no row is open; returns at the deadline too, for the account to say what is open."""

    async def none_is_open() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM webhook_logs WHERE NOT processed")

    with suppress(AssertionError):
        await until(none_is_open, within_seconds=within_seconds)


async def draw_up(connection: "asyncpg.Connection[asyncpg.Record]", acknowledged: Collection[str]) -> Account:
    """Compare what Stripe was told with what the database holds."""
    logged = await connection.fetch("SELECT stripe_event_id, processed FROM webhook_logs")
    twice = await connection.fetch("SELECT stripe_event_id FROM effect GROUP BY 1 HAVING count(*) > 1")
    return Account(
        missing=frozenset(acknowledged) - {row["stripe_event_id"] for row in logged},
        unprocessed=frozenset(row["stripe_event_id"] for row in logged if not row["processed"]),
        twice=frozenset(row["stripe_event_id"] for row in twice),
        facts_twice=await _count(
            connection,
            "SELECT count(*) FROM (SELECT 1 FROM payment_fact GROUP BY scope, payment_id, stripe_event_id"
            " HAVING count(*) > 1) AS double",
        ),
        dead=await _count(connection, "SELECT count(*) FROM webhook_logs WHERE dead_at IS NOT NULL"),
        unpaid_events=await _count(
            connection,
            "SELECT count(*) FROM events WHERE payment_status IS DISTINCT FROM 'paid' AND id::text IN"
            " (SELECT names_event FROM payment_fact)",
        ),
    )


async def _count(connection: "asyncpg.Connection[asyncpg.Record]", query: str) -> int:
    return int(await connection.fetchval(query))
