"""Cost of a batch: statements, and rows read."""

from typing import TYPE_CHECKING, cast

import asyncpg
import pytest

from processor.payments import billing, projection, row_watch
from processor.payments import locked_payments as nodes
from processor.payments.ledger import apply_facts
from processor.payments.projection import Display, EventRow, store_payments
from processor.payments.row_watch import RowWatch
from tests.payments.harness import Counted, Harness
from tests.payments.history import intent, names
from tests.payments.strategies import HARBOUR

if TYPE_CHECKING:
    from sluice.registry import Transaction

MOST_STATEMENTS = 9
MOST_ROWS = 10


async def statements(harness: Harness, payments: int, start: int) -> int:
    """How many statements one batch of so many new payments takes."""
    counted = Counted(harness.tx)
    events = [intent("succeeded", id=f"pi_{start + n}", metadata=names(HARBOUR)) for n in range(payments)]
    await apply_facts(events, cast("Transaction", counted))
    return counted.statements


async def test_a_large_batch_takes_as_many_statements_as_a_small_one(harness: Harness) -> None:
    """Payments without links: a constant few."""
    await statements(harness, 1, 0)
    assert await statements(harness, 1, 1_000) == await statements(harness, 200, 2_000) <= MOST_STATEMENTS


async def rows_read(harness: Harness) -> int:
    """How many rows of ``payment`` and ``payment_fact`` one event of that row reads."""
    undo = harness.tx.transaction()
    await undo.start()
    before = await _counter(harness)
    await harness.apply(intent("succeeded", metadata=names(HARBOUR)))
    read = await _counter(harness) - before
    await undo.rollback()
    return read


async def _counter(harness: Harness) -> int:
    read = await harness.tx.fetchval(
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables "
        "WHERE relname IN ('payment', 'payment_fact')"
    )
    assert isinstance(read, int)
    return read


@pytest.mark.parametrize("planned", ["while empty", "without statistics", "with statistics"])
async def test_a_row_with_100_000_payments_costs_no_more_than_one_with_two(harness: Harness, planned: str) -> None:
    """The status of a row is the first entry of an index; also by a plan that was made when every index was empty."""
    if planned == "while empty":
        await harness.wipe()
        await harness.tx.execute("ANALYZE payment, payment_fact, events, webhook_logs")
        row = EventRow(HARBOUR, None, "pending", None)
        await store_payments(harness.tx, Display([row], speaking=(), receipts=frozenset()), {}, ())
        await rows_read(harness)
    await harness.tx.execute(
        "INSERT INTO payment (scope, payment_id, events_id, bound_by, status, rank) "
        "SELECT 'live:platform', 'pi_many_' || n, $1, 'metadata', 'failed', 8 FROM generate_series(1, 100000) AS n",
        HARBOUR,
    )
    await harness.tx.execute(
        "INSERT INTO payment (scope, payment_id, parent_id) "
        "SELECT 'live:platform', 'in_many_' || n, 'sub_many_' || n FROM generate_series(1, 1000) AS n"
    )
    await harness.tx.execute(
        "INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind, status) "
        "SELECT scope, payment_id, 'evt_' || payment_id, now(), 'intent', 'failed' FROM payment"
    )
    if planned == "with statistics":
        await harness.tx.execute("ANALYZE payment, payment_fact, events")
    assert max([await rows_read(harness) for _ in range(8)]) <= MOST_ROWS  # past PostgreSQL's five custom plans


async def test_every_query_is_valid(harness: Harness) -> None:
    """PostgreSQL accepts each against the real schema."""
    connection = cast("asyncpg.Connection[asyncpg.Record]", harness.tx)
    for module in (nodes, row_watch, projection, billing):
        for query in module.QUERIES.values():
            await connection.prepare(query)


async def test_a_look_at_the_rows_does_not_read_the_whole_ledger(harness: Harness) -> None:
    """It looks at a bounded number of payments, whatever there is."""
    await harness.tx.execute(
        "INSERT INTO payment (scope, payment_id, events_id, status, rank, opened_at) "
        "SELECT 'live:platform', 'pi_many_' || n, $1, 'failed', 8, NULL FROM generate_series(1, 20000) AS n",
        HARBOUR,
    )
    await harness.tx.execute("UPDATE events SET stripe_payment_intent_id = 'pi_many_1', payment_status = 'failed'")
    await harness.tx.execute("ANALYZE payment")
    before = await _counter(harness)
    assert await harness.look() == 0
    assert await _counter(harness) - before <= 3 * RowWatch().in_turn
