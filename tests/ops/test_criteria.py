"""The five criteria over two days that were rehearsed: each fails, passes or is unknown exactly when it should."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import orjson
import pytest
import pytest_asyncio

from sluice.inbox.operations import Decision
from tests.inbox.rows import operate
from tests.ops.cli import cli
from tests.ops.rows import Connection, connected, insert, insert_webhook

WINDOW = timedelta(hours=48)
PROCESSING, POOLS, ERRORS, HEALTH, LOAD = range(5)
GOOD = ["pass"] * 5
RECORD = """
    INSERT INTO health_verdict (healthd, began_at, ended_at, status, reasons, pool_timeouts, errors_lost)
    SELECT $1, minute, minute + interval '1 minute', $4, $5, $6, $7
    FROM generate_series($2::timestamptz, $3::timestamptz - interval '1 minute', '1 minute') AS minute
"""
Operation: TypeAlias = Callable[[Connection, list[str], Decision], Awaitable[object]]
BY_ADA = Decision("ada", "the handler is mended")


async def replay(db: Connection, ids: list[str], decision: Decision) -> object:
    """Run the handlers again, as ``sluice replay`` does."""
    return await operate(db, "replay", ids, decision)


async def write_off(db: Connection, ids: list[str], decision: Decision) -> object:
    """Let it rest, as ``sluice write-off`` does."""
    return await operate(db, "write-off", ids, decision)


async def apply(db: Connection, ids: list[str], _: Decision) -> object:
    """Its effect comes, at last."""
    statement = "UPDATE webhook_logs SET processed = true, outcome = 'applied', processed_at = now()"
    return await db.execute(f"{statement} WHERE stripe_event_id = ANY ($1)", ids)


def _now() -> datetime:
    return datetime.now(UTC)


async def watched(
    db: Connection,
    began: timedelta,
    ended: timedelta = timedelta(),
    *,
    healthd: str = "a",
    status: str = "healthy",
    reasons: Sequence[str] = (),
    pool_timeouts: int = 0,
    errors_lost: int = 0,
) -> None:
    """Record a verdict of healthd's from so long ago until so long ago."""
    counts = (pool_timeouts, errors_lost)
    await db.execute(RECORD, healthd, _now() - began, _now() - ended, status, list(reasons), *counts)


async def load_test(
    db: Connection, *, ago: timedelta = timedelta(hours=1), accepted: int = 300, at_once: int = 100
) -> None:
    """A load test of some time ago."""
    figures = {"connections": at_once, "sent": 300, "accepted": accepted, "slowest_seconds": 0.2}
    await insert(db, "webhook_load_test", ended_at=_now() - ago, **figures)


async def die(db: Connection, *, ago: timedelta = timedelta(hours=3)) -> None:
    """A webhook dies, and its error row says so."""
    await insert_webhook(db, "evt_1", created_at=_now() - ago)
    statement = "UPDATE webhook_logs SET dead_at = $1, outcome = 'failed' WHERE stripe_event_id = 'evt_1'"
    await db.execute(statement, _now() - ago)
    row = {"severity": "critical", "message": "evt_1 is dead (failed): boom", "created_at": _now() - ago}
    await insert(db, "error_logs", stripe_event_id="evt_1", **row)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    """A system that processed webhooks for three days; nothing is recorded yet."""
    async with connected(database_url) as connection:
        for number, hours in enumerate((72, 1)):
            at = _now() - timedelta(hours=hours)
            await insert_webhook(connection, f"evt_good_{number}", processed=True, processed_at=at, created_at=at)
        yield connection


async def judged(database_url: str) -> list[str]:
    """The five verdicts, asked for as in a cluster: no address is known but the database's."""
    url = f"{database_url}?options=-crole%3Dsluice_migrator"
    result = await cli("status", "--since", "48h", "--json", DATABASE_URL=url)
    verdicts = [one["verdict"] for one in orjson.loads(result.stdout)]
    assert result.exit_code == (1 if "fail" in verdicts else 0)
    return verdicts


async def judged_apart_from_good(database_url: str) -> dict[int, str]:
    """The criteria that do not pass."""
    return {place: verdict for place, verdict in enumerate(await judged(database_url)) if verdict != "pass"}


async def test_two_good_days_pass_all_five(database_url: str, db: Connection) -> None:
    """Also where healthd was restarted twice, and where two of them watched."""
    await watched(db, WINDOW * 1.5, timedelta(hours=30))
    await watched(db, timedelta(hours=30) - timedelta(minutes=2), timedelta(hours=2), healthd="b")
    await watched(db, timedelta(hours=10), timedelta(), healthd="c", status="degraded", reasons=["backlog_old"])
    await load_test(db)
    assert await judged(database_url) == GOOD


@pytest.mark.parametrize("cure", [[], [write_off], [replay], [replay, apply]])
async def test_a_death_of_these_hours_fails_whatever_became_of_it(
    database_url: str, db: Connection, cure: list[Operation]
) -> None:
    """Left, written off, replayed, replayed and applied."""
    await watched(db, WINDOW * 1.5)
    await load_test(db)
    await die(db)
    for step in cure:
        assert await step(db, ["evt_1"], BY_ADA)
    assert await judged_apart_from_good(database_url) == {PROCESSING: "fail"}


async def test_a_death_before_these_hours_is_past(database_url: str, db: Connection) -> None:
    """49 hours ago, and written off since."""
    await watched(db, WINDOW * 1.5)
    await load_test(db)
    await die(db, ago=timedelta(hours=49))
    assert await write_off(db, ["evt_1"], BY_ADA)
    assert await judged(database_url) == GOOD


async def test_what_is_failing_now_fails(database_url: str, db: Connection) -> None:
    """Tried and not processed, whenever it came."""
    await watched(db, WINDOW * 1.5)
    await load_test(db)
    await insert_webhook(db, "evt_1", outcome="failed", processing_attempts=1, created_at=_now() - timedelta(hours=60))
    assert await judged_apart_from_good(database_url) == {PROCESSING: "fail"}


async def test_a_death_that_no_error_row_names_fails_the_record_of_errors_too(
    database_url: str, db: Connection
) -> None:
    """It died in silence; that it was written off since excuses nothing."""
    await watched(db, WINDOW * 1.5)
    await load_test(db)
    await die(db)
    await db.execute("DELETE FROM error_logs")
    assert await write_off(db, ["evt_1"], BY_ADA)
    assert await judged_apart_from_good(database_url) == {PROCESSING: "fail", ERRORS: "fail"}


@pytest.mark.parametrize("status", ["unhealthy", "unknown"])
@pytest.mark.parametrize(("hours", "verdicts"), [(20, {HEALTH: "fail"}), (49, {})])
async def test_a_red_half_hour_fails_health_while_it_is_in_the_window(
    database_url: str, db: Connection, status: str, hours: int, verdicts: dict[int, str]
) -> None:
    """Healthd was restarted after it; it is over for hours, and the endpoint answers 200."""
    red = timedelta(hours=hours)
    await watched(db, WINDOW * 1.5, red, healthd="a")
    await watched(db, red, red - timedelta(minutes=30), healthd="a", status=status, reasons=["database_down"])
    await watched(db, red - timedelta(minutes=31), healthd="b")
    await load_test(db)
    assert await judged_apart_from_good(database_url) == verdicts


async def test_how_long_it_was_red_is_told_once_however_many_watched(database_url: str, db: Connection) -> None:
    """30 minutes, seen by two."""
    for healthd in "ab":
        await watched(db, timedelta(hours=5), timedelta(hours=4, minutes=30), healthd=healthd, status="unhealthy")
    result = await cli("status", "--since", "48h", DATABASE_URL=database_url)
    assert "503 for 30 min" in result.stdout


@pytest.mark.parametrize(
    ("trouble", "place"),
    [
        ({"pool_timeouts": 1}, POOLS),
        ({"status": "degraded", "reasons": ["pool_exhausted"]}, POOLS),
        ({"errors_lost": 1}, ERRORS),
    ],
)
@pytest.mark.parametrize(("hours", "verdict"), [(40, "fail"), (49, "pass")])
async def test_trouble_that_healthd_saw_fails_its_criterion_alone(
    database_url: str, db: Connection, trouble: dict[str, object], place: int, hours: int, verdict: str
) -> None:
    """Waits that timed out, an exhausted pool, lost reports: as long as they are of these hours."""
    began = timedelta(hours=hours)
    await watched(db, WINDOW * 1.5)
    await watched(db, began, began - timedelta(minutes=1), **trouble)  # type: ignore[arg-type]
    await load_test(db)
    assert await judged(database_url) == ["pass"] * place + [verdict] + ["pass"] * (4 - place)


async def test_unwatched_hours_are_unknown(database_url: str, db: Connection) -> None:
    """Healthd was away for half an hour; nothing else could know. What it saw to be wrong fails nevertheless."""
    await watched(db, WINDOW * 1.5, timedelta(hours=5))
    await watched(db, timedelta(hours=4, minutes=30))
    await load_test(db)
    unknown = dict.fromkeys((POOLS, ERRORS, HEALTH), "unknown")
    assert await judged_apart_from_good(database_url) == unknown
    await watched(db, timedelta(hours=3), timedelta(hours=2), status="unhealthy")
    assert await judged_apart_from_good(database_url) == {**unknown, HEALTH: "fail"}


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ({}, "pass"),
        ({"accepted": 299}, "fail"),
        ({"ago": timedelta(hours=49)}, "unknown"),
        ({"ago": timedelta(hours=49), "accepted": 1}, "unknown"),
        ({"at_once": 99}, "unknown"),
        (None, "unknown"),
    ],
)
async def test_a_load_test_ages(
    database_url: str, db: Connection, test: dict[str, object] | None, verdict: str
) -> None:
    """Only one of these hours, over 100 connections, counts."""
    await watched(db, WINDOW * 1.5)
    if test is not None:
        await load_test(db, **test)  # type: ignore[arg-type]
    assert await judged(database_url) == [*GOOD[:LOAD], verdict]


async def test_a_quiet_system_is_unknown_and_a_young_one_too(database_url: str) -> None:
    """No webhook at all; then the first, an hour ago."""
    async with connected(database_url) as connection:
        await watched(connection, WINDOW * 1.5)
        assert (await judged(database_url))[PROCESSING] == "unknown"
        at = _now() - timedelta(hours=1)
        await insert_webhook(connection, "evt_1", processed=True, processed_at=at, created_at=at)
        assert (await judged(database_url))[PROCESSING] == "unknown"
