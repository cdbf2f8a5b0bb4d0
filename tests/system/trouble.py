"""
A month of trouble: dead webhooks of three causes among many, and what operators do about them on the command line.

One cause is mended: its webhooks were written off by mistake, which is undone; a diff shows what a replay would do; the
replay is killed half-way and resumed. One cause is hopeless and written off. One has no handler: its webhooks are
written off until there is one, which then runs over them. ``make trouble`` does it among a million, the suite among
fewer.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import asyncpg

from devstack.postgres import PostgresServer
from devstack.roles import make_login_roles
from devstack.schema import apply_migrations
from tests.processor.harness import EFFECTS
from tests.waiting import until

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")
ROOT = Path(__file__).parents[2]
MENDED, HOPELESS, UNHANDLED = "relation bonus does not exist", "the account is closed", "no handler takes a gift"
HANDLER = "tests.processor.harness.write_effect"
CAUSES = (MENDED, HOPELESS, UNHANDLED)
_LONG_SECONDS = 600.0
_PART = 50_000
_BODY = """
convert_to('{"id": "' || key || '", "object": "event", "type": "test.effect", "created": 1790000000, "livemode": true,'
    || ' "api_version": "2026-10-28.endive", "data": {"object": {"id": "ch_' || n || '", "object": "charge",'
    || ' "customer": "cus_' || n % 1000 || '", "description": "' || repeat('a gala ', 100) || '"}}}', 'UTF8')
"""
_HEALTHY = f"""
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_created_at, body, verified_by,
                          publications, created_at, processed, processed_at, outcome)
SELECT key, 'test.effect', true, 'ch_' || n, received, {_BODY}, 'platform:0a1b2c3d', 1, received, true,
       received + interval '1 second', 'applied'
FROM generate_series($1::bigint, $2::bigint) AS n,
     LATERAL (VALUES ('evt_' || lpad(n::text, 9, '0'), now() - interval '30 days' * (1 - n::float8 / $3)))
         AS one (key, received)
"""  # noqa: S608 - the text is our own
_DEAD = f"""
INSERT INTO webhook_logs (stripe_event_id, webhook_type, livemode, object_id, stripe_created_at, body, verified_by,
                          publications, created_at, processing_attempts, last_error, outcome, dead_at)
SELECT key, 'test.effect', true, 'ch_' || n, received, {_BODY}, 'platform:0a1b2c3d', 16, received, 16,
       'ValueError: ' || cause || ' in handler shop.' || n % 3 || ' (shop.py:9)', 'failed', received + interval '3 days'
FROM generate_series(1, $1::bigint) AS n,
     LATERAL (VALUES ('evt_dead_' || lpad(n::text, 9, '0'), now() - interval '27 days' * (1 - n::float8 / $1),
                      ($2::text[])[1 + n % 3])) AS one (key, received, cause)
"""  # noqa: S608
_DEATHS = """
INSERT INTO webhook_death (stripe_event_id, outcome, died_at)
SELECT stripe_event_id, outcome, dead_at FROM webhook_logs WHERE dead_at IS NOT NULL
"""
_ERRORS = """
INSERT INTO error_logs (severity, kind, message, stripe_event_id, service)
SELECT 'critical', 'webhook', 'Given up: ' || last_error, stripe_event_id, 'processor' FROM webhook_logs
WHERE dead_at IS NOT NULL
"""
_UNTOUCHED = """
SELECT count(*) || ' ' || sum(hashtext(stripe_event_id || processed_at || outcome))
FROM webhook_logs WHERE stripe_event_id NOT LIKE 'evt_dead_%'
"""
_BOOKS = """
SELECT split_part(split_part(last_error, ': ', 2), ' in handler', 1) AS cause, outcome, processed,
       dead_at IS NOT NULL AS died, count(*) AS webhooks, sum(effects)::bigint AS effects, max(effects) AS most,
       sum(unresolved)::bigint AS unresolved
FROM webhook_logs,
     LATERAL (SELECT count(*) AS effects FROM effect WHERE effect.stripe_event_id = webhook_logs.stripe_event_id) AS e,
     LATERAL (SELECT count(*) AS unresolved FROM error_logs
              WHERE coalesce(error_logs.stripe_event_id, error_logs.event_id) = webhook_logs.stripe_event_id
                AND NOT resolved) AS r
WHERE webhook_logs.stripe_event_id LIKE 'evt_dead_%'
GROUP BY 1, 2, 3, 4
"""

_NOTES = """
SELECT split_part(message, ' by ', 1) AS word, count(*) FROM error_logs WHERE service = 'operator' GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much trouble."""

    healthy: int
    of_each_cause: int
    rate: int
    """Webhooks a second, of the replay that is killed."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of one database, for its owner, an operator and a processor."""

    owner: str
    operator: str
    processor: str


@dataclass(frozen=True, slots=True)
class Month:
    """State of the books at its end."""

    seconds: Mapping[str, float]
    """Of each step."""
    books: Sequence[Mapping[str, object]]
    is_untouched: bool
    """Whether every other webhook is as it was."""
    deaths: int
    notes: Mapping[str, int]
    story: str
    """`sluice operations list`."""


async def live_through(addresses: Addresses, size: Size) -> Month:
    """Fill the database, and do what operators would."""
    owner = await asyncpg.connect(addresses.owner)
    try:
        return await _Operators(owner, addresses, size).live_through()
    finally:
        await owner.close()


class _Operators:
    """They have nothing but the command line and their own login."""

    def __init__(self, owner: Connection, addresses: Addresses, size: Size) -> None:
        self._owner = owner
        self._addresses = addresses
        self._size = size
        self._seconds: dict[str, float] = {}

    async def live_through(self) -> Month:
        await self._step("fill", _fill(self._owner, self._size))
        before = await self._owner.fetchval(_UNTOUCHED, timeout=_LONG_SECONDS)
        await self._step("write off what has no handler", self._do("write-off", "--error", UNHANDLED))
        await self._write_off_by_mistake()
        async with processing(self._addresses.processor):
            await self._mend()
            await self._step("write off the hopeless", self._do("write-off", "--error", HOPELESS))
            await self._hand_over()
            await self._step("all has its effect", until(self._is_calm, within_seconds=_LONG_SECONDS))
        return Month(
            seconds=self._seconds,
            books=[dict(row) for row in await self._owner.fetch(_BOOKS, timeout=_LONG_SECONDS)],
            is_untouched=before == await self._owner.fetchval(_UNTOUCHED, timeout=_LONG_SECONDS),
            deaths=await self._owner.fetchval("SELECT count(*) FROM webhook_death"),
            notes={row["word"]: row["count"] for row in await self._owner.fetch(_NOTES)},
            story=await self._sluice("operations", "list"),
        )

    async def _write_off_by_mistake(self) -> None:
        """Somebody names the wrong handler, and takes it back."""
        await self._step("write off by mistake", self._do("write-off", "--failed-in", "shop.0"))
        undo = self._sluice("operations", "undo", "2", "--reason", "that was another handler", "--by", "ada")
        await self._step("undo", undo)

    async def _mend(self) -> None:
        """Replay what a mended handler can do now, be killed half-way, and go on."""
        chosen = ("--error", MENDED)
        preview = await self._step("dry run", self._sluice("replay", *chosen, "--dry-run"))
        assert f"would be about {self._size.of_each_cause:,}:" in preview, preview
        diff = await self._step("diff", self._sluice("replay", *chosen, "--diff", "--limit", "50"))
        assert "effect" in diff, diff
        replay = self._killed_half_way("replay", *chosen, "--rate", str(self._size.rate))
        await self._step("replay, killed half-way", replay)
        await self._step("resume", self._sluice("operations", "resume", "4"))

    async def _hand_over(self) -> None:
        """Run the handler that is new over what was written off for want of one."""
        await until(self._is_known, within_seconds=_LONG_SECONDS)
        chosen = ("--error", UNHANDLED, "--state", "written_off")
        await self._step("run the new handler", self._do("replay", *chosen, "--handler", HANDLER))

    async def _is_known(self) -> bool:
        return bool(await self._owner.fetchval("SELECT count(*) FROM webhook_handler WHERE name = $1", HANDLER))

    async def _do(self, *arguments: str) -> str:
        return await self._sluice(*arguments, "--yes", "--reason", "decided at noon", "--by", "ada")

    async def _sluice(self, *arguments: str) -> str:
        async with self._running(*arguments) as process:
            told, _ = await process.communicate()
        assert process.returncode == 0, (arguments, told)
        return told.decode()

    async def _killed_half_way(self, *arguments: str) -> None:
        half = self._size.of_each_cause // 2
        async with self._running(*arguments, "--yes", "--reason", "handler mended", "--by", "ada") as process:
            done = "SELECT count(done_at) >= $1 FROM operation_item WHERE operation_id = 4"
            await until(lambda: self._owner.fetchval(done, half), within_seconds=_LONG_SECONDS)
            process.kill()
        assert process.returncode == -signal.SIGKILL

    @asynccontextmanager
    async def _running(self, *arguments: str) -> AsyncIterator[Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sluice.ops", *arguments),
            env={"DATABASE_URL": self._addresses.operator},
            stdout=PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                await process.wait()

    async def _is_calm(self) -> bool:
        left = "SELECT count(*) FROM webhook_logs WHERE NOT processed AND dead_at IS NULL"
        return bool(await self._owner.fetchval(left) == 0)

    async def _step(self, name: str, step: Awaitable[T]) -> T:
        began = time.monotonic()
        result = await step
        self._seconds[name] = time.monotonic() - began
        return result


@asynccontextmanager
async def processing(url: str) -> AsyncIterator[None]:
    """A processor that takes what is due from PostgreSQL."""
    environment = {
        "PATH": os.defpath,
        "DATABASE_URL": url,
        "NATS_URL": "",
        "ADMIN_HOST": "127.0.0.1",
        "ADMIN_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.processor.process_under_test"), cwd=ROOT, env=environment
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def _fill(owner: Connection, size: Size) -> None:
    await owner.execute(f"{EFFECTS}; GRANT INSERT, SELECT ON effect TO sluice_processor")
    await owner.execute("CREATE INDEX ON effect (stripe_event_id)")
    for first in range(1, size.healthy + 1, _PART):
        last = min(first + _PART - 1, size.healthy)
        await owner.execute(_HEALTHY, first, last, float(size.healthy), timeout=_LONG_SECONDS)
    await owner.execute(_DEAD, 3 * size.of_each_cause, list(CAUSES), timeout=_LONG_SECONDS)
    await owner.execute(_DEATHS)
    await owner.execute(_ERRORS)
    await owner.execute("VACUUM ANALYZE", timeout=_LONG_SECONDS)


def expected_books(size: Size) -> Sequence[Mapping[str, object]]:
    """Each cause's webhooks, with their effects and open errors."""
    each = size.of_each_cause
    applied = {"outcome": "applied", "processed": True, "died": False, "webhooks": each, "effects": each, "most": 1}
    rested = {"outcome": "written_off", "processed": True, "died": True, "webhooks": each, "effects": 0, "most": 0}
    return [
        {"cause": MENDED, **applied, "unresolved": each},
        {"cause": HOPELESS, **rested, "unresolved": 0},
        {"cause": UNHANDLED, **rested, "effects": each, "most": 1, "unresolved": 0},
    ]


def faults(month: Month, size: Size) -> Sequence[str]:
    """List what does not balance."""
    each = size.of_each_cause
    expected = {"Replayed": each, "Written off": 3 * each, "Write-off undone": each}
    ordered = sorted(month.books, key=lambda book: CAUSES.index(str(book["cause"])))
    return [
        *([] if ordered == expected_books(size) else [f"books: {ordered}"]),
        *([] if month.is_untouched else ["other webhooks changed"]),
        *([] if month.deaths == 3 * each else [f"{month.deaths} deaths"]),
        *([] if month.notes == expected else [f"notes: {month.notes}"]),
    ]


async def _run(size: Size) -> int:
    with tempfile.TemporaryDirectory(prefix="sluice-trouble-") as name:
        Path(name).chmod(0o711)
        server = await PostgresServer.start(Path(name) / "postgres")
        try:
            await apply_migrations(server.url())
            await make_login_roles(server.url(), server)
            month = await live_through(
                Addresses(server.url(), server.url(user="operator"), server.url(user="processor")), size
            )
        finally:
            await server.stop()
    found = faults(month, size)
    steps = "\n".join(f"{seconds:>8.1f} s  {step}" for step, seconds in month.seconds.items())
    sys.stdout.write(f"{steps}\n\n{month.story}\n{'; '.join(found) or 'The books balance.'}\n")
    return 1 if found else 0


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="A month of trouble, and what operators do about it.")
    parser.add_argument("--rows", type=int, default=990_000, help="webhooks that are well")
    parser.add_argument("--dead", type=int, default=9_999, help="webhooks that are dead, of three causes")
    parser.add_argument("--rate", type=int, default=200, help="webhooks a second of the replay that is killed")
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(_run(Size(arguments.rows, arguments.dead // 3, arguments.rate))))


if __name__ == "__main__":
    main()
