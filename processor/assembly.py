"""Puts the processor together from its settings; which handlers it has is its caller's to say."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from processor.consume import Consumer
from processor.dispatch import Dispatcher
from processor.heal import Healer, Projection
from processor.outage import Outage
from processor.process import Limits, Processor
from processor.redelivery import Redelivery
from processor.report import Reporter
from processor.retries import Patience, Schedule
from processor.setbacks import Setbacks
from processor.settings import ProcessorSettings
from processor.turn import Turns
from sluice.chassis.first_contact import hold_readiness
from sluice.chassis.jetstream import ConsumerSpec, JetStream, StreamSpec
from sluice.chassis.postgres import Database
from sluice.chassis.service import Service
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.registry import Registry

NAME = "processor"
_STREAM = StreamSpec(name=STREAM, subjects=(ALL_SUBJECTS,))


async def serve_with(service: Service, registry: Registry, project: Projection) -> None:
    """Process with these handlers, and heal with this projection, until the service is told to stop."""
    settings = service.settings
    if not isinstance(settings, ProcessorSettings):
        raise TypeError("the processor is run with ProcessorSettings")
    async with (
        _open_database(settings) as database,
        JetStream.open(
            settings, name=NAME, group=service.group, stream=_STREAM, consumer=_consumer_spec(settings)
        ) as stream,
    ):
        consumer = build(settings, registry, database, stream, service)
        healer = Healer(database, project, service.errors, service.stop, settings.heal_seconds)
        _report_status(service, database, stream, consumer, secret_key=_secret_key(settings, registry))
        limit_seconds = settings.ready_without_database_seconds
        async with (
            hold_readiness(service, consumer.outage.what_prevents_work, limit_seconds=limit_seconds),
            asyncio.TaskGroup() as group,
        ):
            service.probes.has_started = True
            group.create_task(healer.run(), name="heal")
            group.create_task(consumer.run(), name="consume")


def build(
    settings: ProcessorSettings, registry: Registry, database: Database, stream: JetStream, service: Service
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
    return Consumer(stream, turns, outage, service.stop, settings.batch_size, settings.lanes)


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
    service: Service, database: Database, stream: JetStream, consumer: Consumer, *, secret_key: str
) -> None:
    configuration = {"stripe_secret_key": secret_key}
    service.probes.add_status("pool", database.status)
    service.probes.add_status("database", database.reach)
    service.probes.add_status("stream", stream.status)
    service.probes.add_status("configuration", lambda: configuration)
    service.probes.add_status("work", _work_of(consumer))


def _secret_key(settings: ProcessorSettings, registry: Registry) -> str:
    """Whether Stripe's API key is there, for healthd; a key that no handler asks for is missed by nobody."""
    if settings.stripe_secret_key:
        return "ok"
    return "missing" if registry.asks_stripe else "not_needed"


def _work_of(consumer: Consumer) -> Callable[[], Mapping[str, float | bool | None]]:
    def work() -> Mapping[str, float | bool | None]:
        age = time.monotonic() - consumer.turned_at if consumer.turned_at else None
        return {
            "last_turn_age_seconds": age,
            "waits_for_database": consumer.outage.is_on,
            "waits_for_migration": consumer.outage.waits_for_migration,
        }

    return work
