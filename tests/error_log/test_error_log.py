import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from sluice.error_log import error_log
from sluice.error_log.error_log import ErrorLog
from sluice.runtime import logs
from tests.waiting import until
from tests.wire import Wire

AWAY = "postgresql://nobody:x@127.0.0.1:1/none"


@pytest.fixture
def stderr_lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, object]]]:
    """Log lines written since."""
    logs.configure("ingest", "info")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


@asynccontextmanager
async def _running(log: ErrorLog) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.run(stop))
        yield
        stop.set()


async def _rows(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch("SELECT *, now() - created_at AS age FROM error_logs ORDER BY id")
    finally:
        await connection.close()


async def test_each_kind_is_stored_with_what_is_known_of_it(database_url: str) -> None:
    """Severity, person, event, request and trace stand in one row, unresolved."""
    log = ErrorLog(database_url, service="ingest")
    async with _running(log):
        log.webhook(
            "could not process",
            severity="high",
            error=LookupError("no such row"),
            user_id=7,
            event_id="gala-24",
            stripe_event_id="evt_1",
            request_data={"method": "POST", "body_bytes": 12},
        )
        log.general("g")
        log.database("d", severity="critical")
        log.api("a", severity="info")

        async def stored() -> bool:
            return len(await _rows(database_url)) == 4

        await until(stored)
    webhook, *others = await _rows(database_url)
    assert (webhook["kind"], webhook["severity"], webhook["message"]) == ("webhook", "high", "could not process")
    assert (webhook["user_id"], webhook["event_id"], webhook["service"]) == ("7", "gala-24", "ingest")
    assert webhook["stripe_event_id"] == "evt_1"
    assert json.loads(webhook["request_data"]) == {"method": "POST", "body_bytes": 12}
    assert "LookupError: no such row" in webhook["stack_trace"]
    assert webhook["resolved"] is False
    assert [(row["kind"], row["severity"]) for row in others] == [
        ("general", "error"),
        ("database", "critical"),
        ("api", "info"),
    ]


async def test_the_time_is_that_of_the_error_not_of_the_write(database_url: str) -> None:
    """An entry that waited in the queue happened when it happened."""
    log = ErrorLog(database_url, service="ingest")
    log.general("early")
    await asyncio.sleep(0.3)  # the age that its row must show
    async with _running(log):
        pass
    (row,) = await _rows(database_url)
    assert 0.3 <= row["age"].total_seconds() < 5


async def test_the_last_entries_before_the_end_are_stored(database_url: str) -> None:
    """Why a service ended is what one most wants to know."""
    log = ErrorLog(database_url, service="ingest")
    async with _running(log):
        for number in range(250):
            log.general(f"entry {number}")
    assert len(await _rows(database_url)) == 250


async def test_no_secret_body_or_card_reaches_a_row(database_url: str) -> None:
    """Only known keys of the request are kept; what stands in them, and what PostgreSQL quotes, is redacted."""
    email = "ann" + chr(64) + "example.org"  # so that no line of source in a trace shows it
    log = ErrorLog(database_url, service="ingest")
    async with _running(log):
        connection = await asyncpg.connect(database_url)
        await connection.execute("CREATE TABLE person (email text PRIMARY KEY, age int)")
        await connection.execute("INSERT INTO person VALUES ($1)", email)
        with pytest.raises(asyncpg.DataError) as refused:
            await connection.execute("INSERT INTO person (age) VALUES ($1)", email)
        log.database("refused argument", error=refused.value)
        with pytest.raises(asyncpg.InvalidTextRepresentationError) as refused:
            await connection.execute("INSERT INTO person (age) VALUES ($1::text::int)", email)
        log.database("refused text", error=refused.value)
        try:
            await connection.execute("INSERT INTO person VALUES ($1)", email)
        except asyncpg.UniqueViolationError as error:
            log.database(
                "sk_live_abc123 and 4242424242424242",
                error=error,
                request_data={
                    "body": '{"card": "4242424242424242"}',
                    "headers": {"Stripe-Signature": "t=1,v1=abc"},
                    "Authorization": "Bearer abcdefgh123",
                    "path": "/api/stripe-webhook?key=whsec_abc123",
                },
            )
        await connection.close()
    *refusals, row = await _rows(database_url)
    shown = str([dict(each) for each in (*refusals, row)])
    assert "UniqueViolationError" in row["stack_trace"]
    for secret in ("sk_live_abc123", "4242424242424242", "ann@example.org", "v1=abc", "abcdefgh123", "whsec_abc123"):
        assert secret not in shown
    assert json.loads(row["request_data"]) == {"path": "/api/stripe-webhook?key=[redacted]", "omitted_keys": 3}


async def test_what_postgresql_cannot_store_is_made_storable(database_url: str) -> None:
    """NUL, lone surrogates, huge numbers and odd objects cost no entry, neither theirs nor their neighbours'."""
    log = ErrorLog(database_url, service="ingest")
    async with _running(log):
        log.general(
            "a\x00b\ud800", user_id=object(), request_data={"path": "\x00", "status": 2**80, "code": float("nan")}
        )
        log.general("neighbour")
    assert len(await _rows(database_url)) == 2


async def test_stderr_takes_what_the_database_does_not(stderr_lines: Callable[[], list[dict[str, object]]]) -> None:
    """With PostgreSQL away nothing is lost to a reader of logs, and secrets stay out of those too."""
    log = ErrorLog(AWAY, service="ingest")
    seen: list[dict[str, object]] = []
    async with _running(log):
        log.webhook("could not process whsec_abc123", event_id="evt_1", severity="critical")

        def told() -> bool:
            seen.extend(stderr_lines())
            return any(line["event"] == "error_log_entry" for line in seen)

        await until(told)
        log.general("at the end")
    seen.extend(stderr_lines())
    entries = [line for line in seen if line["event"] == "error_log_entry"]
    assert [entry["message"] for entry in entries] == ["could not process [redacted]", "at the end"]
    assert (entries[0]["event_id"], entries[0]["severity"]) == ("evt_1", "critical")


async def test_entries_under_way_when_the_end_comes_are_not_lost(
    stderr_lines: Callable[[], list[dict[str, object]]], wire: type[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that says nothing costs the farewell its moment, no write's 3 s; then stderr has them, each once."""
    monkeypatch.setattr(error_log, "_FAREWELL_SECONDS", 0.2)
    async with wire("127.0.0.1", 1).open() as line:
        line.cut()
        log = ErrorLog(f"postgresql://nobody@127.0.0.1:{line.port}/none", service="ingest")
        started = time.monotonic()
        async with _running(log):
            log.general("first")
            await until(lambda: not log._waiting)  # it is under way
            log.general("second")
        assert time.monotonic() - started < 2.5
    entries = [line["message"] for line in stderr_lines() if line["event"] == "error_log_entry"]
    assert entries == ["first", "second"]


async def test_reporting_never_waits_and_memory_is_bounded(stderr_lines: Callable[[], object]) -> None:
    """A storm of errors with the database away costs microseconds each, and the oldest are given up."""
    log = ErrorLog(AWAY, service="ingest", capacity=10)
    started = time.perf_counter()
    for number in range(1000):
        log.general(f"entry {number}")
    assert time.perf_counter() - started < 1
    assert len(log._waiting) == 10
    assert log._waiting[0].message == "entry 990"


async def test_a_report_never_raises(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is given: the work that failed must not fail a second time."""

    class Hostile:
        """Refuses to be shown."""

        def __str__(self) -> str:
            raise RuntimeError("whsec_abc123")

    log = ErrorLog(AWAY, service="ingest")
    log.general("x", user_id=Hostile(), request_data={"path": Hostile()})
    log.general("y", severity="apocalypse")  # type: ignore[arg-type]
    assert log._waiting[-1].severity == "error"
    assert "whsec_abc123" not in capsys.readouterr().err


async def test_it_heals_when_the_database_is_back(database_url: str) -> None:
    """The connection is made again; its end does not end the writer."""
    log = ErrorLog(database_url, service="ingest")

    async def has_rows(count: int) -> bool:
        return len(await _rows(database_url)) == count

    async with _running(log):
        log.general("before")
        await until(lambda: has_rows(1))
        killer = await asyncpg.connect(database_url)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ingest-errors'"
        )
        await killer.close()
        await until(lambda: log._connection is None or log._connection.is_closed())
        log.general("after")
        await until(lambda: has_rows(2))
