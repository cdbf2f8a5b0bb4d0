"""The sweep: what was lost comes back, what is due goes out, and a backlog breeds nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import asyncpg
import nats
import pytest
import pytest_asyncio
from pydantic import SecretStr

from devstack.nats import NatsServer
from ingest.relay.publisher import HEADROOM_BYTES, Publication, Publisher, PublisherLimits
from ingest.relay.sweeper import Relay, RelayLimits, Swept
from ingest.settings import IngestSettings
from sluice.contract.codec import Envelope, decode
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.jetstream import ConsumerSpec, IncomingMessage, JetStream, StreamSpec
from sluice.postgres.pool import Database
from tests.ingest.running import Ingest, running
from tests.ingest.webhooks import event, webhook
from tests.waiting import until

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LIMITS = RelayLimits(in_flight_seconds=60)
SOON = RelayLimits(margin_seconds=2, in_flight_seconds=60)
FAR = "1 hour"


@dataclass(frozen=True)
class Yard:
    """A relay with everything around it, and a consumer that plays the processor."""

    relay: Relay
    stream: JetStream
    publisher: Publisher
    database: Database

    async def publish(self, events: Sequence[StripeEvent]) -> None:
        """Publish events that have no row here."""
        for fresh in events:
            publication = Publication(fresh, attempt=0, publication=1, reason="fresh")
            assert await self.publisher.publish_all([publication], within_seconds=3) == 1

    async def receive(self, at_most: int = 2_000, *, within_seconds: float = 0.3) -> list[IncomingMessage]:
        """Messages that the processor would get."""
        return list(await self.stream.fetch(at_most, within_seconds=within_seconds))

    async def receive_all(self) -> list[Envelope]:
        """Everything there is, acknowledged."""
        envelopes: list[Envelope] = []
        while messages := await self.receive():
            for message in messages:
                envelopes.append(decode(message.payload))
                message.ack()
        await until(self.is_idle)
        return envelopes

    async def is_idle(self) -> bool:
        """Nothing is held unacknowledged."""
        return (await self.stream.consumer_state(CONSUMER)).ack_pending == 0


def settings(database_url: str, nats_url: str) -> IngestSettings:
    """Where everything is."""
    return IngestSettings.model_validate({"database_url": SecretStr(database_url), "nats_url": SecretStr(nats_url)})


@asynccontextmanager
async def connected(nats_url: str, *, has_consumer: bool = True) -> AsyncIterator[JetStream]:
    """The stream, with the processor's consumer."""
    spec = StreamSpec(name=STREAM, subjects=(ALL_SUBJECTS,))
    consumer = ConsumerSpec(CONSUMER, ack_wait_seconds=30) if has_consumer else None
    where = settings("postgresql://unused", nats_url)
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(where, name="test", group=group, stream=spec, consumer=consumer) as stream,
    ):
        await asyncio.wait_for(stream.wait_connected(), 10)
        yield stream


@pytest_asyncio.fixture
async def yard(database: Database, nats_url: str) -> AsyncIterator[Yard]:
    """A relay that sweeps when the test says so."""
    async with connected(nats_url) as stream:
        publisher = Publisher(stream)
        yield Yard(Relay(database, stream, publisher, limits=LIMITS), stream, publisher, database)


async def insert(postgres: Postgres, count: int = 1, **columns: str) -> list[str]:
    """Rows as the journal writes them, published some seconds ago; columns are SQL expressions."""
    defaults = {
        "published_at": "now() - interval '10 seconds'",
        "next_attempt_at": "now() - interval '5 seconds'",
        "publications": "1",
        "livemode": "false",
        "webhook_type": "'payment_intent.succeeded'",
        "stripe_created_at": "now()",
        "body": "$1",
    }
    values = defaults | columns
    rows = await postgres.fetch(
        f"INSERT INTO webhook_logs (stripe_event_id, {', '.join(values)}) "  # noqa: S608  a test's own words
        f"SELECT 'evt_' || gen_random_uuid(), {', '.join(values.values())} FROM generate_series(1, {count}) "
        "WHERE $1::bytea IS NOT NULL RETURNING stripe_event_id",
        webhook(),
    )
    return [row["stripe_event_id"] for row in rows]


async def test_a_lost_message_comes_back(yard: Yard, postgres: Postgres) -> None:
    """Published, not tried, nothing pending: the consumer has passed it, so it is published anew, once."""
    (lost,) = await insert(postgres, processing_attempts="3")
    assert await yard.relay.sweep() == Swept(passed=1)
    assert await yard.relay.sweep() == Swept()
    (message,) = await yard.receive()
    envelope = decode(message.payload)
    assert (envelope.event.stripe_event_id, envelope.attempt) == (lost, 3)
    assert message.headers["Nats-Msg-Id"] == f"{lost}:2"
    assert message.headers["ce-id"] == lost
    row = await postgres.fetchrow(
        "SELECT publications, published_at > now() - interval '9 seconds' AS is_fresh, "
        "next_attempt_at - published_at AS lease FROM webhook_logs"
    )
    assert row is not None
    assert (row["publications"], row["is_fresh"], row["lease"].total_seconds()) == (2, True, 10)


async def test_rows_that_are_not_due_stay_where_they_are(
    yard: Yard, postgres: Postgres, subtests: pytest.Subtests
) -> None:
    """A calm sweep finds nothing."""
    cases: Mapping[str, Mapping[str, str]] = {
        "processed": {"processed": "true"},
        "dead": {"dead_at": "now()"},
        "never": {"next_attempt_at": "NULL"},
        "not due": {"next_attempt_at": f"now() + interval '{FAR}'"},
        "on its way": {"published_at": "now()"},
        "an earlier application's": {"next_attempt_at": "NULL", "published_at": "NULL", "body": "NULL"},
        "a retry not due": {"published_at": "NULL", "next_attempt_at": f"now() + interval '{FAR}'"},
    }
    for name, columns in cases.items():
        with subtests.test(name):
            await insert(postgres, 1, **columns)
            assert await yard.relay.sweep() == Swept()
        await postgres.execute("TRUNCATE webhook_logs")


async def test_a_retry_goes_out_when_due_whatever_is_pending(yard: Yard, postgres: Postgres) -> None:
    """A failed, parked or replayed row was tried; a backlog of others is no reason to wait."""
    await yard.publish([event() for _ in range(3)])
    await insert(postgres, 2, published_at="NULL", processing_attempts="1")
    assert await yard.relay.sweep() == Swept(due=2)
    assert await yard.relay.sweep() == Swept()


async def test_a_backlog_is_not_published_twice(yard: Yard, postgres: Postgres) -> None:
    """While messages are pending, what was published after the ack floor is left alone."""
    rows = await insert(postgres, 1_200, published_at="now() - interval '1 minute'")
    assert await yard.relay.sweep() == Swept(passed=1_200)
    await postgres.execute("UPDATE webhook_logs SET next_attempt_at = now() - interval '1 second'")
    assert await yard.relay.sweep() == Swept()
    (first,) = await yard.receive(1)
    assert await yard.relay.sweep() == Swept()
    first.ack()
    assert await yard.relay.sweep() == Swept()
    got = [envelope.event.stripe_event_id for envelope in await yard.receive_all()]
    assert sorted([decode(first.payload).event.stripe_event_id, *got]) == sorted(rows)


@pytest.mark.parametrize("restored_to", [0, 1, 2])
async def test_publications_that_a_restore_forgot_are_passed_over(
    yard: Yard, postgres: Postgres, restored_to: int
) -> None:
    """JetStream knows the ids of the history that is gone: a duplicate counts as none, the next claim has a new id."""
    due = "NULL" if restored_to == 0 else "now() - interval '10 seconds'"
    (row,) = await insert(postgres, publications=str(restored_to), published_at=due)
    forgotten = [Publication(_named(row), attempt=0, publication=number, reason="fresh") for number in (1, 2, 3)]
    assert await yard.publisher.publish_all(forgotten, within_seconds=3) == 3
    await yard.receive_all()
    for _ in range(3 - restored_to):
        assert await yard.relay.sweep() == Swept()
        await postgres.execute(
            "UPDATE webhook_logs SET next_attempt_at = now(), published_at = now() - interval '10 seconds'"
        )
    assert await yard.relay.sweep() == Swept(passed=1)
    (message,) = await yard.receive()
    assert message.headers["Nats-Msg-Id"] == f"{row}:4"


async def test_rows_older_than_the_ack_floor_come_back_under_load(yard: Yard, postgres: Postgres) -> None:
    """Something is always pending; a row whose message was lost is found because younger ones were passed."""
    (lost,) = await insert(postgres)
    await yard.publish([event(), event()])
    (passed,) = await yard.receive(1)
    assert await yard.relay.sweep() == Swept()
    passed.ack()
    await until(lambda: _floor_is_set(yard))
    assert await yard.relay.sweep() == Swept(passed=1)
    assert lost in [envelope.event.stripe_event_id for envelope in await yard.receive_all()]


async def _floor_is_set(yard: Yard) -> bool:
    return (await yard.stream.consumer_state(CONSUMER)).ack_floor_stored_at is not None


async def test_what_a_processor_holds_is_not_lost(yard: Yard, postgres: Postgres) -> None:
    """Delivered and not yet acknowledged: nothing is pending, and still it is being worked at."""
    await insert(postgres)
    assert await yard.relay.sweep() == Swept(passed=1)
    (held,) = await yard.receive()
    await postgres.execute(
        "UPDATE webhook_logs SET next_attempt_at = now(), published_at = now() - interval '20 seconds'"
    )
    assert await yard.relay.sweep() == Swept()
    held.ack()
    await until(yard.is_idle)
    assert await yard.relay.sweep() == Swept(passed=1)


async def test_what_was_never_sent_need_not_be_passed(yard: Yard, postgres: Postgres) -> None:
    """An unacknowledged message keeps back what may be lost, not what we know was never stored."""
    await yard.publish([event()])
    (_held,) = await yard.receive()
    waits, dropped = await insert(postgres, 2)
    publisher = Publisher(yard.stream, limits=PublisherLimits(waiting_rows=1))
    publisher.hand_over([_named(waits), _named(dropped)])
    relay = Relay(yard.database, yard.stream, publisher, limits=SOON)
    assert await relay.sweep() == Swept(), "its publication may be under way in another's eyes"

    async def is_sent() -> bool:
        return await relay.sweep() == Swept(failed_publications=1)

    await until(is_sent)
    ids = {message.headers["Nats-Msg-Id"] for message in await yard.receive()}
    assert ids == {f"{waits}:1", f"{dropped}:2"}
    assert await relay.sweep() == Swept()


async def test_a_fresh_publication_that_failed_goes_out_once_jetstream_is_back(
    yard: Yard, postgres: Postgres, nats_server: NatsServer
) -> None:
    """Away before or away meanwhile: the sweep does not wait for what a processor held when the server ended."""
    await yard.publish([event()])
    (_held,) = await yard.receive()
    (name,) = await insert(postgres)

    async def is_sent() -> bool:
        return await relay.sweep() == Swept(failed_publications=1)

    relay = Relay(yard.database, yard.stream, yard.publisher, limits=SOON)
    await nats_server.stop()
    yard.publisher.hand_over([_named(name)])
    await nats_server.restart()
    await until(is_sent)


def _named(event_id: str) -> StripeEvent:
    return replace(event(), stripe_event_id=event_id)


async def test_after_five_minutes_a_row_goes_out_again_in_any_case(yard: Yard, postgres: Postgres) -> None:
    """At a bounded rate: whatever JetStream says of its consumer."""
    await yard.publish([event()])
    await until(lambda: _is_pending(yard))
    await insert(postgres, 150, published_at="now() - interval '301 seconds'")
    assert await yard.relay.sweep() == Swept(overdue=100)
    assert await yard.relay.sweep() == Swept(overdue=50)


async def _is_pending(yard: Yard) -> bool:
    """The server counts behind the answer to a publication."""
    return (await yard.stream.consumer_state(CONSUMER)).pending == 1


async def test_two_sweeps_share_the_work(yard: Yard, postgres: Postgres) -> None:
    """Two replicas at the same moment: each row is published once."""
    rows = await insert(postgres, 700)
    other = Relay(yard.database, yard.stream, yard.publisher, limits=LIMITS)
    swept = await asyncio.gather(yard.relay.sweep(), other.sweep())
    assert sum(sweep.passed for sweep in swept) == 700
    assert sorted(envelope.event.stripe_event_id for envelope in await yard.receive_all()) == sorted(rows)


async def test_rows_that_a_processor_holds_locked_are_skipped(yard: Yard, postgres: Postgres) -> None:
    """A sweep waits for no lock."""
    locked, free = await insert(postgres, 2)
    async with postgres.transaction():
        await postgres.execute("SELECT FROM webhook_logs WHERE stripe_event_id = $1 FOR UPDATE", locked)
        async with asyncio.timeout(2):
            assert await yard.relay.sweep() == Swept(passed=1)
    assert [envelope.event.stripe_event_id for envelope in await yard.receive_all()] == [free]


async def test_a_lease_doubles_up_to_five_minutes(yard: Yard, postgres: Postgres) -> None:
    """So that a message that no processor can process is not published for ever at full speed."""
    for publications, seconds in ((1, 10), (2, 20), (5, 160), (6, 300), (100, 300)):
        await postgres.execute("TRUNCATE webhook_logs")
        await insert(postgres, publications=str(publications))
        await yard.relay.sweep()
        await yard.receive_all()
        lease = await postgres.fetchval("SELECT next_attempt_at - published_at FROM webhook_logs")
        assert lease.total_seconds() == seconds


async def test_a_body_too_large_for_nats_travels_by_reference(yard: Yard, postgres: Postgres) -> None:
    """From the sweep and fresh alike; its neighbours' bodies come along."""
    large = yard.stream.max_payload - HEADROOM_BYTES
    await insert(postgres, body=f"convert_to(repeat('x', {large + 1}), 'UTF8')")
    await insert(postgres, body=f"convert_to(repeat('x', {large}), 'UTF8')")
    assert await yard.relay.sweep() == Swept(passed=2)
    envelopes = await yard.receive_all()
    assert sorted(len(envelope.event.body) for envelope in envelopes) == [0, large]
    await yard.publish([event(data={"object": {"padding": "x" * large}})])
    (fresh,) = await yard.receive_all()
    assert fresh.is_by_reference


async def test_while_jetstream_is_away_nothing_is_claimed(
    yard: Yard, postgres: Postgres, nats_server: NatsServer
) -> None:
    """The rows stay due, so that they go out as soon as it is back."""
    await insert(postgres)
    await nats_server.stop()
    assert await yard.relay.sweep() == Swept()
    assert await postgres.fetchval("SELECT publications FROM webhook_logs") == 1
    await nats_server.restart()
    await asyncio.wait_for(yard.stream.wait_connected(), 10)
    assert await yard.relay.sweep() == Swept(passed=1)


async def test_without_a_consumer_nothing_is_claimed(database: Database, nats_url: str, postgres: Postgres) -> None:
    """A consumer created anew starts at new messages: what is published before it is there would be lost."""
    await insert(postgres)
    async with connected(nats_url, has_consumer=False) as stream:
        assert await Relay(database, stream, Publisher(stream), limits=LIMITS).sweep() == Swept()


async def test_an_emptied_store_is_filled_again(yard: Yard, postgres: Postgres, nats_server: NatsServer) -> None:
    """The whole of JetStream's store is lost; everything unprocessed comes back in one sweep."""
    rows = await insert(postgres, 1_100)
    assert await yard.relay.sweep() == Swept(passed=1_100)
    await nats_server.stop()
    await nats_server.wipe()
    await nats_server.restart()
    await until(lambda: _has_consumer(yard))
    await postgres.execute("UPDATE webhook_logs SET next_attempt_at = now(), published_at = now() - interval '15 s'")
    assert await yard.relay.sweep() == Swept(passed=1_100)
    assert len(await yard.receive_all()) == len(rows)


async def _has_consumer(yard: Yard) -> bool:
    if not yard.stream.is_connected:
        return False
    state = await yard.stream.consumer_state(CONSUMER)
    return state.pending == 0


async def test_fresh_rows_are_published_at_once(database_url: str, nats_url: str, postgres: Postgres) -> None:
    """Not by a sweep: with attempt 0, its trace, and the bytes that Stripe sent; the row is as the journal wrote it."""
    async with connected(nats_url) as stream, running(database_url, nats_url) as ingest:
        await until(lambda: _is_connected(ingest))
        body = webhook("evt_fresh", account="acct_1")
        assert (await ingest.deliver(body)).status == 200
        (message,) = await stream.fetch(1, within_seconds=3)
    envelope = decode(message.payload)
    assert (envelope.event.body, envelope.attempt) == (body, 0)
    assert message.subject == "stripe.test.acct_1.payment_intent.succeeded"
    assert message.headers["Nats-Msg-Id"] == "evt_fresh:1"
    version, trace, span, flags = message.headers["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert await postgres.fetchval("SELECT publications FROM webhook_logs") == 1


async def _is_connected(ingest: Ingest) -> bool:
    stream: Any = ingest.service.probes.status()["stream"]
    return bool(stream["connected"])


async def test_fresh_rows_beyond_the_bound_are_left_to_the_sweep(yard: Yard) -> None:
    """Handing over never blocks and never grows without end."""
    publisher = Publisher(yard.stream, limits=PublisherLimits(waiting_rows=2))
    publisher.hand_over([event() for _ in range(5)])
    assert publisher.waiting_rows == 2


async def test_what_jetstream_did_not_take_is_left_to_the_sweep(yard: Yard, nats_url: str) -> None:
    """Sent, and not stored: as far as we know it is nowhere."""
    client = await nats.connect(nats_url)
    await client.jetstream().delete_stream(STREAM)
    await client.close()
    yard.publisher.hand_over([_named("evt_untaken")])
    await until(lambda: yard.publisher.failed_publications.take(1, older_than_seconds=0) == ["evt_untaken"])


async def test_an_event_that_cannot_be_sent_stops_no_other(yard: Yard) -> None:
    """Neither its neighbours nor those that come later; by a sweep neither."""
    publisher = Publisher(yard.stream, limits=PublisherLimits(concurrent=1))
    broken = replace(event(), account="\ud800")
    publisher.hand_over([broken, _named("evt_neighbour")])
    publisher.hand_over([_named("evt_later")])
    received = [message for _ in range(2) for message in await yard.receive(1, within_seconds=3)]
    assert [message.headers["Nats-Msg-Id"] for message in received] == ["evt_neighbour:1", "evt_later:1"]
    assert publisher.waiting_rows == 0
    swept = [Publication(each, attempt=0, publication=2, reason="due") for each in (broken, _named("evt_swept"))]
    assert await publisher.publish_all(swept, within_seconds=3) == 1


async def test_without_nats_webhooks_are_acknowledged_and_published_later(
    database_url: str, nats_server: NatsServer, postgres: Postgres
) -> None:
    """Item 7: 200 while it is away, also with its store deleted; everything comes when it is back."""
    await nats_server.stop()
    await nats_server.wipe()
    async with running(database_url, nats_server.url, relay_every_seconds=0.1) as ingest:
        bodies = [webhook() for _ in range(20)]
        replies = await asyncio.gather(*(ingest.deliver(body) for body in bodies))
        assert {reply.status for reply in replies} == {200}
        await nats_server.restart()
        async with connected(nats_server.url) as stream:
            await postgres.execute(
                "UPDATE webhook_logs SET published_at = now() - interval '1 minute', next_attempt_at = now()"
            )
            got: set[bytes] = set()
            async with asyncio.timeout(15):
                while len(got) < len(bodies):
                    for message in await stream.fetch(100, within_seconds=1):
                        got.add(decode(message.payload).event.body)
                        message.ack()
    assert got == set(bodies)


async def test_the_queries_of_the_relay_use_their_indexes(postgres: Postgres) -> None:
    """A million settled rows cost a sweep nothing."""
    from sluice.inbox.publications import QUERIES  # noqa: PLC0415

    await insert(postgres, 5_000, processed="true")
    await insert(postgres, 5)
    await postgres.execute("VACUUM ANALYZE webhook_logs")
    for name, arguments in (("claim_due", "500, false"), ("claim_untried", "500, false, now()")):
        types = "bigint, boolean" if name == "claim_due" else "bigint, boolean, timestamptz"
        await postgres.execute(f"PREPARE {name} ({types}) AS {QUERIES[name]}")
        plan = "\n".join(row[0] for row in await postgres.fetch(f"EXPLAIN EXECUTE {name} ({arguments})"))
        assert "Seq Scan on webhook_logs" not in plan


async def test_ingest_relays_with_its_own_role(
    role_url: Callable[[str], str], nats_url: str, postgres: Postgres
) -> None:
    """Least privilege still lets it claim and read."""
    await insert(postgres, published_at="NULL")
    async with Database.connect(role_url("ingest"), application_name="test") as database, connected(nats_url) as stream:
        assert await Relay(database, stream, Publisher(stream), limits=LIMITS).sweep() == Swept(due=1)
