"""The share of one organiser, which stops no other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from ingest import app
from ingest.errors import TooMuchAtOnce
from ingest.rate_limited_log import ORGANISER_LINES, RateLimitedLog
from ingest.settings import IngestSettings
from ingest.tenant_limits import CpuShare, InFlight, Share
from tests.ingest.auth.test_tenant_secrets import TENANT_SECRET, Postgres, organiser, url
from tests.ingest.raw import raw, request, status
from tests.ingest.running import NOWHERE, Ingest, running
from tests.ingest.webhooks import OTHER_SECRET, SECRET, webhook
from tests.metrics import counted
from tests.waiting import until


def taken(share: Share, organiser: str, amount: float = 1) -> int:
    """So many pieces it gets before it is refused."""
    for number in range(10_000):
        try:
            share.take(organiser, amount)
        except TooMuchAtOnce:
            return number
    raise AssertionError("it is never refused")


def test_one_organiser_gets_an_eighth_and_many_get_less_each() -> None:
    """Something is left for one who comes new, whatever the others hold; the platform's half is never touched."""
    share = Share(800, "rows")
    got = [taken(share, str(number)) for number in range(20)]
    assert got[:4] == [100, 100, 100, 50]
    assert sum(got) <= 400
    assert all(got[number] >= 1 for number in range(10))


def test_what_is_given_back_may_be_taken_again() -> None:
    """To the last piece, for any party."""
    share = Share(80, "rows")
    assert taken(share, "a") == 10
    share.give_back("a", 10)
    assert (taken(share, "b"), taken(share, "a")) == (10, 10)


def test_the_least_share_is_one_piece() -> None:
    """Where the whole is one, an organiser may have it while it is free."""
    share = Share(1, "requests")
    assert (taken(share, "a"), taken(share, "b")) == (1, 0)


def test_cpu_time_of_a_second_is_shared_and_the_next_second_is_new() -> None:
    """A quarter for one, a half for all."""
    now, cpu = [0.0], [0.0]
    share = CpuShare(clock=lambda: now[0], cpu=lambda: cpu[0])

    def spend(organiser: str, seconds: float) -> bool:
        try:
            share.check(organiser)
        except TooMuchAtOnce:
            return False
        with share.spending(organiser):
            cpu[0] += seconds
        return True

    assert [spend("a", 0.1) for _ in range(5)] == [True, True, True, False, False]
    assert [spend("b", 0.1) for _ in range(2)] == [True, False]
    assert [spend(name, 0.1) for name in ("c", "d")] == [True, False]
    now[0] = 1
    assert spend("a", 0.1) is True


def test_no_body_is_read_for_whom_no_cpu_time_is_left() -> None:
    """The refusal comes before the body, which would cost more than its verification."""
    cpu = CpuShare(clock=lambda: 0.0, cpu=iter((0.0, 1.0)).__next__)
    in_flight = InFlight(requests=80, body_bytes=8_000, cpu=cpu)
    with cpu.spending("a"):
        pass
    with pytest.raises(TooMuchAtOnce), in_flight.enter("a"):
        pass


def test_an_organisers_lines_cost_others_none_and_memory_is_bounded() -> None:
    """Each has its own budget; an organiser that has been silent for long is forgotten."""
    notices = RateLimitedLog(clock=lambda: 5.0)
    assert [notices.may_of("a", "refused") for _ in range(100)].count(True) == ORGANISER_LINES
    assert notices.may_of("b", "refused")
    assert [notices.may("refused") for _ in range(5)] == [True] * 5
    for number in range(5_000):
        notices.may_of(str(number), "refused")
    assert len(notices._spent_by) <= 1_000


@asynccontextmanager
async def held_journal(
    database_url: str, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> AsyncIterator[tuple[Ingest, Postgres, asyncpg.transaction.Transaction]]:
    """Ingest whose journal writes nothing until the transaction ends; receipts have all the time in the world."""
    limits = IngestSettings.journal_limits.fget  # type: ignore[attr-defined]
    patient = property(lambda settings: replace(limits(settings), write_seconds=60, receipt_seconds=60))
    monkeypatch.setattr(IngestSettings, "journal_limits", patient)
    holder = await asyncpg.connect(database_url)
    try:
        async with running(database_url, NOWHERE, answer_seconds=60, **changes) as ingest:
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("LOCK TABLE webhook_logs IN SHARE MODE")
            yield ingest, holder, transaction
    finally:
        await holder.close()


def waiting_rows(ingest: Ingest) -> int:
    """Webhooks in the journal's queue."""
    journal = ingest.service.probes.status()["journal"]
    assert isinstance(journal, dict)
    return int(journal["rows"])


@pytest.mark.parametrize(
    ("changes", "padding", "most"),
    [({"journal_queue_rows": 400}, 0, 51), ({"journal_queue_bytes": 4 * 1024 * 1024}, 100_000, 6)],
    ids=["rows", "bytes"],
)
async def test_a_flood_of_one_organiser_refuses_its_own_alone(
    database_url: str,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    padding: int,
    most: int,
) -> None:
    """While PostgreSQL is slow: it gets its eighth and 503 for the rest; another and the platform get 200 for all."""
    flooder, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    async with held_journal(database_url, monkeypatch, **changes) as (ingest, _, transaction):
        over = counted("webhook_organiser_over_share_total", resource="rows") or 0
        over += counted("webhook_organiser_over_share_total", resource="queue_bytes") or 0
        flood = [
            asyncio.create_task(ingest.deliver(webhook(padding="x" * padding), TENANT_SECRET, path=url(flooder)))
            for _ in range(200 if padding == 0 else 30)
        ]
        await until(lambda: len([task for task in flood if task.done()]) >= len(flood) - most)
        mine = [asyncio.create_task(ingest.deliver(webhook(), OTHER_SECRET, path=url(other))) for _ in range(10)]
        platform = [asyncio.create_task(ingest.deliver(webhook())) for _ in range(100)]
        held = waiting_rows(ingest)
        await until(lambda: waiting_rows(ingest) >= held + 100)
        await transaction.rollback()
        assert [reply.status for reply in await asyncio.gather(*mine, *platform)] == [200] * 110
        answers = await asyncio.gather(*flood)
    refused = [reply for reply in answers if reply.status != 200]
    assert 1 <= len(answers) - len(refused) <= most
    assert {(reply.status, reply.code, reply.headers["Retry-After"]) for reply in refused} == {(503, "overloaded", "5")}
    now = counted("webhook_organiser_over_share_total", resource="rows") or 0
    now += counted("webhook_organiser_over_share_total", resource="queue_bytes") or 0
    assert now - over == len(refused)


async def test_in_calm_one_organiser_may_send_all_there_is(ingest: Ingest, postgres: Postgres) -> None:
    """A share is a limit on what waits, not on what comes."""
    only = await organiser(postgres)
    for _ in range(5):
        replies = await asyncio.gather(*(ingest.deliver(webhook(), TENANT_SECRET, path=url(only)) for _ in range(100)))
        assert [reply.status for reply in replies] == [200] * 100


async def test_an_organisers_body_has_a_smaller_limit(ingest: Ingest, postgres: Postgres) -> None:
    """413 by its head, or as soon as it turns out; the platform's may be larger, and one of its own is taken."""
    only = await organiser(postgres)
    large = webhook(padding="x" * 256 * 1024)
    assert (await ingest.deliver(large)).status == 200
    reply = await ingest.deliver(large, TENANT_SECRET, path=url(only))
    assert (reply.status, reply.code) == (413, "body_too_large")
    async with raw(ingest.port) as (reader, writer):
        head = request(large, path=url(only), secret=TENANT_SECRET)
        head = head.replace(b"Content-Length: %d" % len(large), b"Transfer-Encoding: chunked")
        writer.write(head + b"%x\r\n" % len(large) + large)
        assert await status(reader) == 413
    assert (await ingest.deliver(webhook(padding="x" * 200_000), TENANT_SECRET, path=url(only))).status == 200


async def test_bodies_that_are_being_read_count(database_url: str, postgres: Postgres) -> None:
    """An organiser's slow bodies use up only its own share of requests."""
    slow, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    async with running(database_url, NOWHERE, connections_max=80, body_seconds=60) as ingest, AsyncExitStack() as open_:
        assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(slow))).status == 200
        assert (await ingest.deliver(webhook(), OTHER_SECRET, path=url(other))).status == 200
        body = webhook()
        over = counted("webhook_organiser_over_share_total", resource="requests") or 0
        for _ in range(12):
            _, writer = await open_.enter_async_context(raw(ingest.port, seconds=60))
            writer.write(request(body, path=url(slow), secret=TENANT_SECRET) + body[:10])
        await until(lambda: (counted("webhook_organiser_over_share_total", resource="requests") or 0) == over + 2)
        assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(slow))).code == "overloaded"
        for _ in range(20):
            assert (await ingest.deliver(webhook(), OTHER_SECRET, path=url(other))).status == 200
            assert (await ingest.deliver(webhook())).status == 200


async def test_verification_has_a_share_of_each_second(
    database_url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An organiser whose forged webhooks take the CPU is refused before its bodies are looked at; no other is."""
    spent = [0.0]

    def cpu() -> float:
        spent[0] += 0.04
        return spent[0]

    monkeypatch.setattr(app, "CpuShare", lambda: CpuShare(clock=lambda: 0.0, cpu=cpu))
    bad, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    async with running(database_url, NOWHERE) as ingest:
        forged = [await ingest.deliver(webhook(), SECRET, path=url(bad)) for _ in range(10)]
        assert Counter(reply.code for reply in forged) == {"invalid_signature": 7, "overloaded": 3}
        assert (await ingest.deliver(webhook(), OTHER_SECRET, path=url(other))).status == 200
        assert (await ingest.deliver(webhook())).status == 200


async def test_a_flood_of_forgeries_silences_no_other(
    ingest: Ingest, postgres: Postgres, capfd: pytest.CaptureFixture[str]
) -> None:
    """A few lines about the flooded row; then one about another's and one about the platform's, each heard."""
    flooded, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    await asyncio.gather(*(ingest.deliver(webhook(), SECRET, path=url(flooded)) for _ in range(100)))
    await ingest.deliver(webhook(), SECRET, path=url(other))
    await ingest.deliver(webhook(), OTHER_SECRET)
    lines = [line for line in capfd.readouterr().err.splitlines() if "webhook_refused" in line]
    assert 1 <= sum(str(flooded) in line for line in lines) <= 2 * ORGANISER_LINES
    assert sum(str(other) in line for line in lines) == 1
    assert sum('"route":"platform"' in line for line in lines) == 1


async def test_rows_that_postgresql_refuses_cost_others_few_writes(
    database_url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An organiser sends nothing but such rows: one is found by halving, the rest is refused with it."""
    await postgres.execute("ALTER TABLE webhook_logs ADD CHECK (webhook_type <> 'poison')")
    bad, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    halvings = counted("journal_failures_total", followed_by="halving") or 0
    async with held_journal(database_url, monkeypatch) as (ingest, _, transaction):
        poison = [
            asyncio.create_task(ingest.deliver(webhook(type="poison"), TENANT_SECRET, path=url(bad))) for _ in range(60)
        ]
        mine = [asyncio.create_task(ingest.deliver(webhook(), OTHER_SECRET, path=url(other))) for _ in range(20)]
        platform = [asyncio.create_task(ingest.deliver(webhook())) for _ in range(60)]
        await until(lambda: waiting_rows(ingest) >= 100)
        await transaction.rollback()
        assert [reply.status for reply in await asyncio.gather(*mine, *platform)] == [200] * 80
        assert {reply.status for reply in await asyncio.gather(*poison)} == {503}
        assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(bad))).code == "overloaded"
    assert (counted("journal_failures_total", followed_by="halving") or 0) - halvings <= 16
