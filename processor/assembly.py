"""Puts the processor together from its settings; which handlers it has is its caller's to say."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from processor.consume import Consumer
from processor.direct import Direct
from processor.dispatch import Dispatcher
from processor.heal import Healer, Projection
from processor.in_hand import InHand
from processor.outage import Outage
from processor.process import Limits, Processor
from processor.redelivery import Redelivery
from processor.report import Reporter
from processor.retries import Patience, Schedule
from processor.setbacks import Setbacks
from processor.settings import ProcessorSettings
from processor.stream_watch import StreamWatch
from processor.turn import Turns
from sluice.chassis.jetstream import ConsumerSpec, JetStream
from sluice.chassis.postgres import Database
from sluice.chassis.service import Service
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.registry import Registry

NAME = "processor"


async def serve_with(service: Service, registry: Registry, project: Projection) -> None:
    """Process with these handlers, and heal with this projection, until the service is told to stop."""
    settings = service.settings
    if not isinstance(settings, ProcessorSettings):
        raise TypeError("the processor is run with ProcessorSettings")
    async with (
        _open_database(settings) as database,
        JetStream.open_if_any(
            settings,
            name=NAME,
            group=service.group,
            stream=settings.stream(STREAM, (ALL_SUBJECTS,)),
            consumer=_consumer_spec(settings),
        ) as stream,
    ):
        consumer = build(settings, registry, database, stream, service)
        healer = Healer(database, project, service.errors, service.stop, settings.heal_seconds)
        _report_status(service, settings, database, stream, consumer)
        service.probes.has_started = True
        async with asyncio.TaskGroup() as group:
            group.create_task(healer.run(), name="heal")
            group.create_task(consumer.run(), name="consume")


def build(
    settings: ProcessorSettings, registry: Registry, database: Database, stream: JetStream | None, service: Service
) -> Consumer:
    """The consumer with everything that it needs."""
    patience = Patience(settings.parked_patience_seconds)
    outage = Outage(database, service.stop)
    turns = Turns(
        processor=Processor(
            database,
            Dispatcher(registry, is_production=settings.is_production, handler_seconds=settings.handler_seconds),
            Limits(settings.transaction_seconds, settings.lock_seconds),
            patience,
        ),
        setbacks=Setbacks(database, Schedule(settings.attempts, settings.attempts_over_seconds), patience),
        redelivery=Redelivery(database, settings.solo_starts),
        reporter=Reporter(service.errors, registry.types),
        outage=outage,
        stop=service.stop,
        hold_seconds=settings.hold_seconds,
    )
    direct = Direct(database)
    return Consumer(
        stream=stream,
        turns=turns,
        outage=outage,
        stop=service.stop,
        direct=direct,
        watch=StreamWatch(stream, database, settings.stream_grace_seconds),
        in_hand=InHand(direct, settings.ack_wait_seconds),
        batch_size=settings.batch_size,
        lanes=settings.lanes,
    )


def _open_database(settings: ProcessorSettings) -> AbstractAsyncContextManager[Database]:
    """A pool whose statements may take as long as a transaction may, and no longer."""
    return Database.connect(
        settings.database_url.get_secret_value(),
        application_name=f"sluice-{NAME}",
        min_size=settings.database_pool_min_size,
        max_size=settings.database_pool_max_size,
        command_seconds=settings.transaction_seconds,
        statement_cache=settings.database_statement_cache,
    )


def _consumer_spec(settings: ProcessorSettings) -> ConsumerSpec:
    return ConsumerSpec(
        durable=CONSUMER, ack_wait_seconds=settings.ack_wait_seconds, max_ack_pending=settings.max_ack_pending
    )


def _report_status(
    service: Service, settings: ProcessorSettings, database: Database, stream: JetStream | None, consumer: Consumer
) -> None:
    configuration = {"stripe_secret_key": "ok" if settings.stripe_secret_key else "missing"}
    service.probes.add_status("pool", database.status)
    if stream is not None:
        service.probes.add_status("stream", lambda: {**stream.status(), "stalled": consumer.watch.is_stalled})
    service.probes.add_status("configuration", lambda: configuration)
    service.probes.add_status("work", _work_of(consumer))


def _work_of(consumer: Consumer) -> Callable[[], Mapping[str, float | bool | None]]:
    def work() -> Mapping[str, float | bool | None]:
        age = time.monotonic() - consumer.turned_at if consumer.turned_at else None
        return {
            "last_turn_age_seconds": age,
            "waits_for_database": consumer.outage.is_on,
            "waits_for_migration": consumer.outage.waits_for_migration,
            "takes_from_postgresql": consumer.watch.is_away,
        }

    return work
