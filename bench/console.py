"""`make pages`: each page of the console at a million webhooks, 10,000 of them dead; none over 300 ms."""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import click
from rich.console import Console
from rich.table import Table

from bench.processes import free_port
from devstack.postgres import DEFAULT_DATABASE, PostgresServer
from devstack.roles import make_login_roles
from sluice.payments.families import EVENT_TYPES
from sluice.postgres.migrator import migrate

GOAL_SECONDS = 0.3
_TIMES = 9
_TYPES = list(EVENT_TYPES)[:4]
_PART = 50_000
_HEADER = "X-Forwarded-Email"
_PERSON = "ada@example.com"
_READY_SECONDS = 60.0
_ROWS = """
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_account_id, stripe_created_at,
                          body, verified_by, created_at, published_at, next_attempt_at, publications)
SELECT 'evt_' || lpad(n::text, 12, '0'),
       ($4::text[])[1 + n % cardinality($4::text[])],
       true, 'pi_' || n, 'acct_' || n % 100, received.at,
       convert_to(format('{"id":"evt_%s","data":{"object":{"id":"pi_%s","customer":"cus_%s"}}}', n, n, n % 5000),
                  'UTF8')
       || decode(repeat('20', 2000), 'hex'),
       'platform:0a1b2c3d', received.at, received.at, received.at + interval '5 seconds', 1
FROM generate_series($1::bigint, $2::bigint) AS n,
     LATERAL (SELECT now() - interval '3 hours' * (1 - n::float8 / $3)) AS received(at)
"""
_SETTLED = """
UPDATE webhook_logs
SET processed = true, processed_at = created_at + interval '80 ms', outcome = 'applied', published_at = NULL,
    next_attempt_at = NULL
WHERE NOT processed AND dead_at IS NULL AND id % 100 <> 0
"""
_DIED = """
UPDATE webhook_logs
SET dead_at = created_at + interval '1 minute', outcome = 'failed', processing_attempts = 16, published_at = NULL,
    last_error = (ARRAY['in handler loyalty.add_points (attempt 16): KeyError: seat',
                        'in handler mail.send (attempt 16): TimeoutError: no answer',
                        'in handler payments.apply (attempt 16): ValueError: amount'])[1 + id % 3]
WHERE NOT processed AND dead_at IS NULL AND id % 100 = 0
"""
_BESIDES = """
INSERT INTO payment (scope, payment_id, events_id, bound_by, status, rank, opened_at)
SELECT 'live:acct_' || n % 100, 'pi_' || n, NULL, 'metadata', 'paid', 1, NULL FROM generate_series(1, $1::bigint) AS n;
"""
_FACTS = """
INSERT INTO payment_fact (scope, payment_id, stripe_event_id, said_at, kind, status, object_id)
SELECT 'live:acct_' || n % 100, 'pi_' || n, 'evt_' || lpad(n::text, 12, '0'), now(), 'intent', 'paid', 'pi_' || n
FROM generate_series(1, $1::bigint) AS n
"""
_ERRORS = """
INSERT INTO error_logs (severity, kind, message, stripe_event_id, service, created_at)
SELECT 'critical', 'webhook', last_error, stripe_event_id, 'processor', dead_at
FROM webhook_logs
WHERE dead_at IS NOT NULL
"""
_ACCOUNTS = """
INSERT INTO reconcile_account (livemode, account, complete_until)
SELECT true, 'acct_' || n, now() - interval '1 minute' FROM generate_series(0, 99) AS n
"""
_OPERATION = """
WITH begun AS (
    INSERT INTO operation (verb, filter, reason, person)
    VALUES ('replay', '{"states": ["dead"]}', 'why', 'ada')
    RETURNING id
)
INSERT INTO operation_item (operation_id, position, item_id)
SELECT begun.id, row_number() OVER (ORDER BY w.id), w.stripe_event_id
FROM begun, (SELECT id, stripe_event_id FROM webhook_logs WHERE dead_at IS NOT NULL LIMIT $1) AS w
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """One page, and how long it took, in seconds: first, median and slowest."""

    path: str
    first: float
    median: float
    slowest: float


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Webhooks in all, received in three hours.")
@click.option("--keep", is_flag=True, help="Leave the console running when all is measured, and print its address.")
def main(*, rows: int, keep: bool) -> None:
    """Fill a database, start the console before it, and open every page several times."""
    sys.exit(asyncio.run(_measure(rows, keep=keep)))


async def _measure(rows: int, *, keep: bool) -> int:
    screen = Console()
    with tempfile.TemporaryDirectory(prefix="sluice-pages-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # noqa: ASYNC240 - once; root's PostgreSQL is another user
        server = await PostgresServer.start(folder / "postgres")
        try:
            await migrate(server.url())
            await make_login_roles(server.url(), server)
            with screen.status("Filling the log"):
                await _fill(server.url(), rows)
            async with _console(server.url(DEFAULT_DATABASE, "console")) as base:
                opened = [await _open(base, path) for path in _paths(rows)]
                if keep:
                    screen.print(base)
                    await asyncio.Event().wait()
        finally:
            await server.stop()
    screen.print(_table(opened, rows))
    return int(any(page.median > GOAL_SECONDS for page in opened))


async def _fill(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        for first in range(1, rows + 1, _PART):
            await connection.execute(_ROWS, first, min(first + _PART - 1, rows), float(rows), _TYPES, timeout=600)
            await connection.execute(_SETTLED, timeout=600)
            await connection.execute(_DIED, timeout=600)
        for statement, *values in ((_BESIDES, rows), (_FACTS, rows), (_ERRORS,), (_ACCOUNTS,)):
            await connection.execute(statement, *values, timeout=600)
        for count in (*[50] * 50, 10_000):
            await connection.execute(_OPERATION, count, timeout=600)
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close()


@asynccontextmanager
async def _console(url: str) -> AsyncIterator[str]:
    port, admin = free_port(), free_port()
    settings = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": url,
        "LISTEN_PORT": str(port),
        "ADMIN_HOST": "127.0.0.1",
        "ADMIN_PORT": str(admin),
        "LOG_LEVEL": "warning",
        "CONSOLE_ACTIONS": "1",
        "CONSOLE_USER_HEADER": _HEADER,
        "CONSOLE_PROXIES": "127.0.0.1",
        "CONSOLE_HOSTS": "127.0.0.1",
        "CONSOLE_OPERATORS": _PERSON,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "console", env=settings)
    try:
        await _ready(f"http://127.0.0.1:{admin}/readyz")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _ready(url: str) -> None:
    async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.1)


async def _open(base: str, path: str) -> Opened:
    taken = []
    async with aiohttp.ClientSession(headers={_HEADER: _PERSON}) as session:
        for _ in range(_TIMES):
            began = time.perf_counter()
            async with session.get(f"{base}{path}") as answer:
                text = await answer.text()
                taken.append(time.perf_counter() - began)
                if not answer.ok:
                    raise SystemExit(f"{path}: {answer.status}\n{text[-2000:]}")
    return Opened(path, taken[0], statistics.median(taken), max(taken))


def _paths(rows: int) -> Sequence[str]:
    middle = f"{rows // 2:012}"
    return (
        "/",
        "/webhooks",
        "/webhooks?state=dead",
        "/webhooks?state=failed",
        "/webhooks?state=processed&type=charge.*",
        "/webhooks?type=no.such.type",
        "/webhooks?account=acct_7",
        "/webhooks?object=pi_17",
        "/webhooks?customer=cus_17",
        "/webhooks?error=no.such.error",
        "/webhooks?since=2h&until=1h",
        f"/search?q=evt_{middle}",
        f"/webhooks/evt_{middle}",
        "/webhooks/evt_000000000100",
        f"/payments/pi_{rows // 2}",
        "/trouble",
        "/accounts",
        "/operations",
        "/operations/51",
        "/errors",
        "/errors?error=no.such.error",
        "/act/replay?state=dead&type=charge.*",
        "/act/write-off?error=seat",
        "/act/retry?state=failed&type=*",
        "/act/resolve?error=KeyError",
    )


def _table(opened: Sequence[Opened], rows: int) -> Table:
    table = Table(title=f"Pages of the console at {rows:,} webhooks, milliseconds")
    table.add_column("page")
    for title in ("first", "median", "slowest"):
        table.add_column(title, justify="right")
    for page in opened:
        figures: Mapping[str, float] = {"first": page.first, "median": page.median, "slowest": page.slowest}
        told = [f"{seconds * 1000:,.0f}" for seconds in figures.values()]
        table.add_row(page.path, *told, style="red" if page.median > GOAL_SECONDS else None)
    return table


if __name__ == "__main__":
    main()
