"""Claiming and settling: which rows are read, and when a settlement is refused."""

import asyncpg
import pytest

from sluice.inbox import claims
from sluice.postgres.pool import Connection, Database
from tests.inbox.rows import ATTEMPT, COMPANION, EVENT, claim, put

_READ = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'webhook_logs'"
_BACKLOG = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, published_at, next_attempt_at)
SELECT 'evt_backlog_' || n, 'test.effect', '{}', now(), now() FROM generate_series(1, 5000) AS n
"""


async def test_a_settlement_reads_its_own_rows_alone_by_a_plan_made_before_the_backlog(database: Database) -> None:
    """While nothing waits, what waits is all in one small index; a plan that is kept must not have chosen that."""
    async with database.acquire() as tx:
        undo = tx.transaction()
        await undo.start()
        await put(tx, {})
        await tx.execute("ANALYZE webhook_logs")
        await _settle(tx, COMPANION)
        await tx.execute(_BACKLOG)
        before = await tx.fetchval(_READ)
        assert await _settle(tx, EVENT.stripe_event_id) == {EVENT.stripe_event_id}
        assert await tx.fetchval(_READ) - before == 1
        await undo.rollback()


async def test_a_settlement_in_another_transaction_than_the_claim_is_refused(database: Database) -> None:
    """The effects of that transaction are gone or stand already; processed = true would be a lie."""
    async with database.acquire() as tx:
        await put(tx, {})
        async with tx.transaction():
            _, claimed_in = await claim(tx, ATTEMPT)
        with pytest.raises(asyncpg.RaiseError, match="ended the transaction"):
            async with tx.transaction():
                await claims.settle_processed(tx, {EVENT.stripe_event_id: "applied"}, claimed_in)


async def _settle(tx: Connection, stripe_event_id: str) -> set[str]:
    claimed_in = await tx.fetchval("SELECT pg_current_xact_id()::text")
    return set(await claims.settle_processed(tx, {stripe_event_id: "applied"}, claimed_in))
