"""Due webhooks are taken from PostgreSQL itself: each by one processor, and those that a process died of alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from processor.queue import direct
from processor.queue.direct import Direct
from processor.queue.watermark import LONG_AGO, Watermark
from sluice.contract import codec
from sluice.nats.jetstream import IncomingMessage
from sluice.postgres.pool import Database
from tests.processor.harness import Harness, event


async def take(source: Direct, most: int = 500, *, least_age_seconds: float = 0) -> Sequence[IncomingMessage]:
    """One look, whatever another one is doing at the same moment."""
    return await source.fetch(most, least_age_seconds=least_age_seconds)


def ids(messages: Sequence[IncomingMessage]) -> list[str]:
    """The webhooks that they are about."""
    return [codec.decode(message.payload).event.stripe_event_id for message in messages]


async def test_what_is_due_takes_effect_once(harness: Harness) -> None:
    """Fresh webhooks and retries whose time has come, and nothing else."""
    fresh, retried, waiting, dead, done, unknown = (event() for _ in range(6))
    await harness.record(fresh, waiting, dead, done, unknown)
    await harness.record(retried, attempts=1)
    await harness.set_row(retried, "published_at = NULL, next_attempt_at = now() - interval '1 second'")
    await harness.set_row(waiting, "published_at = NULL, next_attempt_at = now() + interval '1 minute'")
    await harness.set_row(dead, "dead_at = now()")
    await harness.set_row(done, "processed = true")
    await harness.set_row(unknown, "next_attempt_at = NULL")
    source = Direct(harness.database)
    messages = await take(source)
    await harness.worker().take(messages)
    source.finished(messages)
    assert await take(source) == []
    assert await harness.effects() == {fresh.stripe_event_id: 1, retried.stripe_event_id: 1}


async def test_the_processors_own_role_suffices(harness: Harness, role_url: Callable[[str], str]) -> None:
    """Taking, renewing, finishing, counting."""
    await harness.record(event(), event())
    async with Database.connect(role_url("processor"), application_name="sluice-processor") as database:
        source = Direct(database)
        messages = await take(source, 1)
        await source.renew()
        source.finished(messages)
        assert len(await take(source)) == 2
        await source.release()
        await database.fetch(direct.QUERIES["count_waiting"], LONG_AGO, timedelta(0), LONG_AGO, timedelta(0), 1)


async def test_a_lease_with_suspects_is_short(harness: Harness) -> None:
    """From the beginning and when it is renewed: the next one to run may end its process."""
    await harness.record(suspect := event(), fresh := event())
    await harness.set_row(suspect, "solo_starts = 1, published_at = now() - interval '1 minute'")
    source = Direct(harness.database)
    assert ids(await take(source, 2)) == [fresh.stripe_event_id, suspect.stripe_event_id]
    assert await _longest_lease(harness) <= direct.SUSPECT_LEASE_SECONDS
    await source.renew()
    assert await _longest_lease(harness) <= direct.SUSPECT_LEASE_SECONDS


async def _longest_lease(harness: Harness) -> float:
    rows = await harness.database.fetch(
        "SELECT max(extract(epoch FROM expires_at - now()))::float8 AS seconds FROM processing_lease"
    )
    seconds: float = rows[0]["seconds"]
    return seconds


async def test_what_is_young_is_left_to_the_stream(harness: Harness) -> None:
    """Where the stream may bring it after all."""
    young, old = event(), event()
    await harness.record(young, old)
    await harness.set_row(old, "published_at = now() - interval '1 minute'")
    assert ids(await take(Direct(harness.database), least_age_seconds=30)) == [old.stripe_event_id]


async def test_no_webhook_is_in_two_hands(harness: Harness) -> None:
    """Several processors share what is due."""
    events = [event() for _ in range(60)]
    await harness.record(*events)
    sources = [Direct(harness.database) for _ in range(4)]
    taken = [await take(source, 15) for source in sources]
    assert sorted(event_id for messages in taken for event_id in ids(messages)) == sorted(
        each.stripe_event_id for each in events
    )


async def test_several_at_once_give_each_webhook_one_effect(harness: Harness) -> None:
    """The processor that comes second gets nothing and asks again."""
    events = [event() for _ in range(200)]
    await harness.record(*events)

    async def work(source: Direct) -> None:
        while len(await harness.effects()) < len(events):
            if messages := await take(source, 20):
                await harness.worker().take(messages)
                source.finished(messages)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work(Direct(harness.database)))
    assert set((await harness.effects()).values()) == {1}


async def test_a_locked_row_is_left(harness: Harness) -> None:
    """It does not keep the others waiting."""
    held, free = event(), event()
    await harness.record(held, free)
    async with harness.database.acquire() as holder, holder.transaction():
        await holder.execute("SELECT FROM webhook_logs WHERE stripe_event_id = $1 FOR UPDATE", held.stripe_event_id)
        assert ids(await take(Direct(harness.database))) == [free.stripe_event_id]


async def test_what_was_in_the_hand_of_a_process_that_died_runs_alone(harness: Harness) -> None:
    """A few at a time, for one of them may have killed it; what no process had in hand runs as ever."""
    suspects, fresh = [event() for _ in range(30)], event()
    await harness.record(*suspects)
    assert len(await take(Direct(harness.database))) == 30
    await harness.record(fresh)
    await run_out(harness.database)
    seen: dict[str, int] = {}
    for expected in (21, 10, 0):
        messages = await take(Direct(harness.database))
        assert len(messages) == expected
        seen |= dict(zip(ids(messages), (message.deliveries for message in messages), strict=True))
    assert seen == {each.stripe_event_id: 2 for each in suspects} | {fresh.stripe_event_id: 1}
    assert await leases(harness.database) == 2


async def test_one_that_began_to_run_alone_is_a_suspect(harness: Harness) -> None:
    """And the last of those that are taken with it."""
    killer, fresh = event(), event()
    await harness.record(killer, fresh)
    await harness.set_row(killer, "solo_starts = 1, published_at = now() - interval '1 minute'")
    messages = await take(Direct(harness.database))
    assert ids(messages) == [fresh.stripe_event_id, killer.stripe_event_id]
    assert [message.deliveries for message in messages] == [1, 2]


async def test_a_process_that_lives_keeps_what_it_has(harness: Harness) -> None:
    """A lease that is renewed does not run out, one that is finished is gone."""
    await harness.record(event())
    source = Direct(harness.database)
    messages = await take(source)
    await run_out(harness.database)
    await source.renew()
    assert await take(Direct(harness.database)) == []
    source.finished(messages)
    assert len(await take(source)) == 1
    assert await leases(harness.database) == 1


async def test_a_process_that_ends_leaves_no_trace(harness: Harness) -> None:
    """A webhook that it did not come to is no suspect."""
    await harness.record(event())
    source = Direct(harness.database)
    source.finished(await take(source))
    await source.release()
    assert await leases(harness.database) == 0
    assert [message.deliveries for message in await take(Direct(harness.database))] == [1]


async def test_what_was_leased_without_an_answer_is_free_at_the_next_look(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is committed and no loop works on it: it must not wait until that runs out."""
    await harness.record(event())
    source = Direct(harness.database)
    fetch = Database.fetch

    async def lose_the_answer(self: Database, query: str, *values: object) -> None:
        await fetch(self, query, *values)
        raise ConnectionError("the answer is lost")

    with monkeypatch.context() as broken:
        broken.setattr(Database, "fetch", lose_the_answer)
        with pytest.raises(ConnectionError):
            await take(source)
    assert await leases(harness.database) == 1
    assert [message.deliveries for message in await take(source)] == [1]


async def test_after_an_outage_no_lease_counts_as_one_of_the_dead(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process could renew it."""
    await harness.record(event())
    await take(Direct(harness.database))
    await run_out(harness.database)
    now = 0.0
    marks = Watermark()
    source = Direct(harness.database, clock=lambda: now, _marks=marks)
    queries = direct.QUERIES
    with monkeypatch.context() as broken:
        broken.setattr(direct, "QUERIES", {**queries, "lease": "SELECT FROM nowhere"})
        with pytest.raises(Exception, match="nowhere"):
            await take(source)
    assert marks.untried > LONG_AGO  # what takes too long is not tried again at once
    assert await take(source) == []
    now = 10.0
    assert len(await take(source)) == 1


async def test_a_look_begins_where_the_first_open_row_is(harness: Harness) -> None:
    """Rows processed since the oldest transaction began are not walked over each time."""
    events = [event() for _ in range(3_000)]
    await harness.record(*events)
    await harness.database.execute("UPDATE webhook_logs SET published_at = now() - interval '1 hour'")
    async with harness.database.acquire() as holder, holder.transaction(isolation="repeatable_read"):
        await holder.execute("SELECT FROM webhook_logs LIMIT 1")  # from now on no dead entry is taken away
        await harness.database.execute("UPDATE webhook_logs SET processed = true")
        source = Direct(harness.database)
        await take(source)
        whole = await entries_read(harness.database, lambda: take(Direct(harness.database)))
        later = await entries_read(harness.database, lambda: take(source))
    assert whole >= 3_000
    assert later < 100


def test_a_mark_leaves_slack_and_is_set_back_now_and_then() -> None:
    """A row may be committed after the look that should have seen it."""
    now = 0.0
    mark = Watermark(clock=lambda: now)
    asked_at = LONG_AGO.replace(year=2026)
    assert mark.begin()
    assert mark.begin()  # the look before came to nothing
    mark.move(None, asked_at.replace(year=2030), asked_at)
    assert (asked_at - mark.untried).total_seconds() == (asked_at - mark.tried).total_seconds() == 10
    assert not mark.begin()
    now = 301.0
    assert mark.begin()
    assert mark.untried == mark.tried == LONG_AGO


def test_after_a_look_that_takes_too_long_what_is_recent_is_looked_for() -> None:
    """Else nothing would be found for as long as it takes too long."""
    mark = Watermark(clock=lambda: 0.0)
    assert mark.begin()
    mark.failed()
    assert not mark.begin()
    assert datetime.now(UTC) - mark.untried < timedelta(minutes=11)
    kept = mark.untried
    mark.failed()
    assert mark.untried == kept


async def run_out(database: Database) -> None:
    """Let every lease run out, as if its process had died."""
    await database.execute("UPDATE processing_lease SET expires_at = now() - interval '1 second'")


async def leases(database: Database) -> int:
    """How many there are."""
    (row,) = await database.fetch("SELECT count(*) AS leases FROM processing_lease")
    return int(row["leases"])


async def entries_read(database: Database, look: Callable[[], Awaitable[object]]) -> int:
    """How many index entries of the log a look read, by PostgreSQL's own count."""
    before = await _entries(database)
    await look()
    return await _entries(database) - before


async def _entries(database: Database) -> int:
    await database.execute("SELECT pg_stat_force_next_flush()")
    rows = await database.fetch(
        "SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes WHERE indexrelname = 'webhook_logs_untried'"
    )
    return int(rows[0]["read"])
