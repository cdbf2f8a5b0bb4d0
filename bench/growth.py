"""`make growth`: what looks at the log cost at a million webhooks, beside a long transaction, while many are paused."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import asyncpg
import click
from rich.console import Console
from rich.table import Table

from bench.ground import prepare
from processor.queue.direct import QUERIES as DIRECT
from sluice.inbox.pauses import QUERIES as PAUSES
from sluice.inbox.pauses import Traits
from sluice.inbox.publications import QUERIES as PUBLICATIONS
from sluice.ops.status.snapshot import MOST
from sluice.ops.status.snapshot import QUERIES as STATUS
from sluice.ops.why.lookup import look_up
from sluice.postgres.sql import load_queries

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Look: TypeAlias = "Callable[[Connection], Awaitable[object]]"

_ROOT = Path(__file__).parents[1]
_HEALTHD = load_queries(str(_ROOT / "healthd" / "database.py"), "poll.sql")
_DUE = (_ROOT / "charts" / "sluice" / "files" / "due.sql").read_text(encoding="utf-8")
_PART = 50_000
_TIMES = 15
_ROWS = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_created_at, body, verified_by,
                          published_at, next_attempt_at, publications)
SELECT 'evt_' || lpad(n::text, 12, '0'), 'payment_intent.succeeded', true, 'pi_' || n, now(),
       decode(repeat('7b7d', 50), 'hex'), 'platform:0a1b2c3d', received.at, received.at + interval '5 seconds', 1
FROM generate_series($1::bigint, $2::bigint) AS n,
     LATERAL (SELECT now() - interval '1 hour' * (1 - n::float8 / $3)) AS received(at)
"""
_PAYMENTS = """
INSERT INTO payment (scope, payment_id, events_id, bound_by, status, rank, opened_at)
SELECT 'live:platform', 'pi_' || n, $3, 'metadata', 'paid', 1, NULL FROM generate_series($1::bigint, $2::bigint) AS n
"""
_FACTS = """
INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind, status, names_event, named_by)
SELECT 'live:platform', 'pi_' || n, 'evt_' || lpad(n::text, 12, '0'), now(), 'intent', 'paid', $3, 'metadata'
FROM generate_series($1::bigint, $2::bigint) AS n
"""
_SETTLED = """
UPDATE webhook_logs SET processed = true, processed_at = now(), outcome = 'applied', published_at = NULL
WHERE NOT processed
"""


_PAUSED = """
WITH pause AS (SELECT sluice_begin_pause('type', 'charge.*', 'a measurement', 'bench') AS id), waiting AS (
    INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_created_at, body, verified_by,
                              next_attempt_at, publications)
    SELECT 'evt_paused' || n, 'payment_intent.succeeded', true, 'ch_' || n, now(), decode(repeat('7b7d', 50), 'hex'),
           'platform:0a1b2c3d', 'infinity', 1
    FROM generate_series(1, $1::bigint) AS n
    RETURNING stripe_event_id
)
INSERT INTO paused_webhook (stripe_event_id, pause_id) SELECT stripe_event_id, pause.id FROM waiting, pause
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One look, in milliseconds: the median of several."""

    name: str
    milliseconds: float


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Webhooks in all.")
def main(*, rows: int) -> None:
    """Fill the log, also with a transaction held open and with many webhooks paused, and time what looks at it."""
    asyncio.run(_compare(rows))


async def _compare(rows: int) -> None:
    console = Console()
    found: dict[str, Sequence[Cost]] = {}
    for title, count, is_held, paused in (
        (f"{rows // 100:,}", rows // 100, False, 0),
        (f"{rows:,}", rows, False, 0),
        (f"{rows // 10:,} paused", rows, False, rows // 10),
        (f"{rows:,}, held open", rows, True, 0),
    ):
        with console.status(title):
            found[title] = await _measure(count, is_held=is_held, paused=paused)
    console.print(_table(found))


async def _measure(rows: int, *, is_held: bool, paused: int) -> Sequence[Cost]:
    async with prepare() as ground, ground.connected() as connection, ground.connected() as holder:
        await ground.sweep()
        events_id = str(await connection.fetchval("SELECT min(id::text) FROM events"))
        transaction = holder.transaction(isolation="repeatable_read")
        if is_held:
            await transaction.start()
            await holder.fetchval("SELECT count(*) FROM webhook_logs")
        await _fill(connection, rows, events_id)
        await connection.execute(_PAUSED, paused, timeout=600)
        costs = [Cost(name, await _time(connection, look)) for name, look in _looks(events_id, rows).items()]
        if is_held:
            await transaction.rollback()
        return costs


async def _fill(connection: Connection, rows: int, events_id: str) -> None:
    """As the services would leave an hour of webhooks: each row written, then settled, and healthd's mark moved on."""
    for first in range(1, rows + 1, _PART):
        last = min(first + _PART - 1, rows)
        await connection.execute(_ROWS, first, last, float(rows), timeout=600)
        await connection.execute(_PAYMENTS, first, last, events_id, timeout=600)
        await connection.execute(_FACTS, first, last, events_id, timeout=600)
        await connection.execute(_SETTLED, timeout=600)
        await connection.execute("UPDATE queue_watermark SET moved_at = '-infinity'")
        await connection.execute(_HEALTHD["move_watermark"], False, timeout=600)
    await connection.execute("ANALYZE", timeout=600)
    await connection.execute("UPDATE queue_watermark SET moved_at = '-infinity'")
    await connection.execute(_HEALTHD["move_watermark"], False, timeout=600)


def _looks(events_id: str, rows: int) -> Mapping[str, Look]:
    untried = PUBLICATIONS["claim_untried"].replace("$3", "now()")
    return {
        "relay, due": lambda db: _as_ingest(db, PUBLICATIONS["claim_due"], 500, False),
        "relay, untried": lambda db: _as_ingest(db, untried, 500, False),
        "direct claim": _lease,
        "pauses, by a batch": lambda db: db.fetch(PAUSES["look"]),
        "healthd, pauses": lambda db: db.fetch(_HEALTHD["look_at_pauses"], 10_000),
        "healthd": lambda db: _in_order(db, _HEALTHD["count_webhooks"], 10_000),
        "KEDA": lambda db: db.fetch(_DUE),
        "status": lambda db: _in_order(db, STATUS["look"], MOST),
        "why an event": lambda db: look_up(db, f"evt_{rows:012d}", at_most=20, handlers_of=_no_handlers),
        "why a payment": lambda db: look_up(db, f"pi_{rows}", at_most=20, handlers_of=_no_handlers),
        "why a row": lambda db: look_up(db, events_id, at_most=20, handlers_of=_no_handlers),
        "why something unknown": lambda db: look_up(db, "xx_unknown", at_most=20, handlers_of=_no_handlers),
    }


def _no_handlers(_: Traits) -> Sequence[str]:
    """Nothing is paused here."""
    return ()


async def _as_ingest(connection: Connection, query: str, *arguments: object) -> None:
    """With the settings of ingest's sessions."""
    async with connection.transaction():
        await connection.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
        await connection.fetch(query, *arguments)


async def _lease(connection: Connection) -> None:
    """As a processor without NATS asks, and leaves what it got."""
    transaction = connection.transaction()
    await transaction.start()
    spans = (timedelta(0), timedelta(seconds=5), timedelta(0), timedelta(minutes=1))
    since = datetime.now(UTC) - timedelta(seconds=10)  # where the look before found nothing
    await connection.fetch(DIRECT["lease"], "bench", [], 500, *spans, since, since)
    await transaction.rollback()


async def _in_order(connection: Connection, query: str, *arguments: object) -> None:
    """As healthd and the command line ask."""
    async with connection.transaction():
        await connection.execute(STATUS["read_in_order"])
        await connection.fetch(query, *arguments)


async def _time(connection: Connection, look: Look) -> float:
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await look(connection)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def _table(found: Mapping[str, Sequence[Cost]]) -> Table:
    table = Table(title="Milliseconds a look, by webhooks in the log", title_justify="left")
    table.add_column("look")
    for title in found:
        table.add_column(title, justify="right")
    for costs in zip(*found.values(), strict=True):
        table.add_row(costs[0].name, *(f"{cost.milliseconds:.1f}" for cost in costs))
    return table


if __name__ == "__main__":
    main()
