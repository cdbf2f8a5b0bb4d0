"""``sluice maintain`` killed in the middle: its steps are whole, nothing needed is gone, and the next run goes on."""

import asyncio
import sys
from collections.abc import Callable

from sluice.postgres.pool import Database
from tests.maintenance.test_maintenance import MAKE_OLD_DAY

ROWS = 5_000
_FILL = f"""
INSERT INTO webhook_body (id, body)
SELECT 202601010000000000 + n, convert_to('body ' || n, 'UTF8') FROM generate_series(1, {ROWS}) AS n;
INSERT INTO webhook_logs (stripe_event_id, webhook_type, created_at, body_id, body_bytes, processed, published_at)
SELECT 'evt_' || n, 'a.b', '2026-01-01 12:00+00', 202601010000000000 + n, 9, false, now()
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO webhook_delivery (stripe_event_id) SELECT stripe_event_id FROM webhook_logs;
"""  # noqa: S608 - a test's own words
_LOST = """
SELECT count(*) AS lost FROM webhook_logs
WHERE sluice_body(body, body_id) IS DISTINCT FROM convert_to('body ' || substr(stripe_event_id, 5), 'UTF8')
"""
_UNEVEN = """
SELECT count(*) AS uneven FROM webhook_delivery AS d
WHERE NOT EXISTS (SELECT FROM webhook_logs AS log WHERE log.stripe_event_id = d.stripe_event_id)
"""


async def killed_at(url: str, said: str, *options: str) -> None:
    """Run the command, and kill it as soon as it says this."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "sluice.ops", "maintain", *options),
        env={"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while not (line := await process.stdout.readline()).decode().startswith(said):
        assert line, f"it ended without {said!r}"
    process.kill()
    await process.wait()


async def finished(url: str, *options: str) -> str:
    """Run the command to its end; what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sluice.ops", "maintain", *options),
        env={"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    return told.decode()


async def test_a_kill_among_bodies_that_are_kept_loses_none(database: Database, role_url: Callable[[str], str]) -> None:
    """Some are in rows and some in the partition by then; every reader finds all of them, also after the next run."""
    await database.execute(MAKE_OLD_DAY)
    await database.execute(_FILL)
    await killed_at(role_url("maintainer"), "bodies kept", "--retain-bodies-days", "30")
    (moved,) = await database.fetch("SELECT count(body) AS n FROM webhook_logs")
    assert 0 < moved["n"] < ROWS
    assert (await database.fetch(_LOST))[0]["lost"] == 0
    assert "days dropped 1" in await finished(role_url("maintainer"), "--retain-bodies-days", "30")
    assert (await database.fetch(_LOST))[0]["lost"] == 0


async def test_a_kill_among_deletions_leaves_whole_steps(database: Database, role_url: Callable[[str], str]) -> None:
    """A webhook goes with its repeats or not at all, and the next run takes the rest."""
    await database.execute(MAKE_OLD_DAY)
    await database.execute(_FILL)
    await database.execute("UPDATE webhook_logs SET processed = true")
    await killed_at(role_url("maintainer"), "webhooks deleted", "--retain-webhooks-days", "31")
    (left,) = await database.fetch("SELECT count(*) AS n FROM webhook_logs")
    assert 0 < left["n"] < ROWS
    assert left["n"] % 1_000 == 0
    assert (await database.fetch(_UNEVEN))[0]["uneven"] == 0
    await finished(role_url("maintainer"), "--retain-webhooks-days", "31")
    assert not await database.fetch("SELECT FROM webhook_logs")
    assert not await database.fetch("SELECT FROM webhook_delivery")
