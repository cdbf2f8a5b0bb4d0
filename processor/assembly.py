"""Puts the processor together from its settings; which handlers it has is its caller's to say."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from processor.consumer.consumer import Consumer
from processor.consumer.consumers import NAME, open_consumers, open_database
from processor.consumer.stream_health import Condition, StreamHealth
from processor.operations.supervisor import COMMAND, Supervisor
from processor.payments.backfill import Backfill, Projection
from processor.queue.direct import Direct
from processor.queue.leases import Leases
from processor.settings import ProcessorSettings
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.broker import Broker
from sluice.nats.jetstream import ConsumerSpec, JetStream, StreamSpec
from sluice.postgres.pool import Database
from sluice.registry import Registry
from sluice.runtime.endless import TURNS_WITHIN_SECONDS, run_endless
from sluice.runtime.probes import JsonValue
from sluice.service.first_contact import hold_readiness
from sluice.service.service import Service

__all__ = ["NAME", "serve_with"]

_SILENT_TRANSACTIONS = 3
"""How many times a transaction's time a process of operations may be silent before it is ended."""
_SUPERVISED_SECONDS = TURNS_WITHIN_SECONDS + 120
_STREAM = StreamSpec(name=STREAM, subjects=(ALL_SUBJECTS,), is_ours=False)  # ingest makes it, and may publish to it


async def serve_with(
    service: Service, registry: Registry, project: Projection, *, operations: Sequence[str] = COMMAND
) -> None:
    """
    Process with these handlers, and backfill with this projection, until the service is told to stop.

    Args:
        operations: the command that carries out what operators ask of the same handlers.
    """
    settings = service.settings
    if not isinstance(settings, ProcessorSettings):
        raise TypeError("the processor is run with ProcessorSettings")
    async with (
        open_database(settings) as database,
        JetStream.open_if_any(
            settings, name=NAME, group=service.group, stream=_STREAM, consumer=_consumer_spec(settings)
        ) as stream,
    ):
        leases = Leases(Direct(database), settings.ack_wait_seconds)
        supervisor = Supervisor(
            database,
            registry,
            service.stop,
            silent_seconds=_SILENT_TRANSACTIONS * settings.transaction_seconds,
            command=operations,
        )
        await _serve(service, settings, registry, project, database, stream, leases, supervisor)


async def _serve(
    service: Service,
    settings: ProcessorSettings,
    registry: Registry,
    project: Projection,
    database: Database,
    stream: Broker | None,
    leases: Leases,
    supervisor: Supervisor,
) -> None:
    async with open_consumers(settings, registry, database, service.errors, service.stop, leases) as consumers:
        consumer = Consumer(
            stream=stream,
            worker=consumers.worker,
            database_gate=consumers.worker.database_gate,
            stop=service.stop,
            direct=leases.direct,
            watch=StreamHealth(stream, database, settings.stream_grace_seconds),
            leases=leases,
            batch_size=settings.batch_size,
            loops=settings.batches_at_once,
            concurrency=consumers.concurrency,
        )
        backfill = Backfill(database, project, service.errors, service.stop, settings.heal_seconds)
        _report_status(service, database, stream, consumer, secret_key=_secret_key(settings, registry))
        service.probes.add_status("apart", consumers.routing.status)
        service.probes.add_status("pauses", consumers.resumption.known.status)
        limit_seconds = settings.ready_without_database_seconds
        async with (
            hold_readiness(service, consumer.database_gate.what_prevents_work, limit_seconds=limit_seconds),
            asyncio.TaskGroup() as group,
        ):
            service.probes.has_started = True
            group.create_task(run_endless("heal", backfill.run, within_seconds=_within(settings)), name="heal")
            group.create_task(consumer.run(), name="consume")
            group.create_task(
                run_endless("operations", supervisor.run, within_seconds=_SUPERVISED_SECONDS), name="operations"
            )
            group.create_task(run_endless("resume", consumers.resumption.run), name="resume")
            for name, apart in consumers.apart.items():
                group.create_task(run_endless(name, apart.run), name=name)


def _within(settings: ProcessorSettings) -> float:
    """How long the backfill may go without a turn: it rests between two rounds."""
    return TURNS_WITHIN_SECONDS + settings.heal_seconds


def _consumer_spec(settings: ProcessorSettings) -> ConsumerSpec:
    return ConsumerSpec(
        durable=CONSUMER, ack_wait_seconds=settings.ack_wait_seconds, max_ack_pending=settings.max_ack_pending
    )


def _report_status(
    service: Service, database: Database, stream: Broker | None, consumer: Consumer, *, secret_key: str
) -> None:
    configuration = {"stripe_secret_key": secret_key}
    service.probes.add_status("pool", database.status)
    service.probes.add_status("database", database.reach)
    if stream is not None:
        service.probes.add_status("stream", lambda: _stream_status(stream, consumer.watch))
    service.probes.add_status("configuration", lambda: configuration)
    service.probes.add_status("work", _work_of(consumer))


def _secret_key(settings: ProcessorSettings, registry: Registry) -> str:
    """Report for healthd whether Stripe's API key is there; it is not needed where no handler asks for it."""
    if settings.stripe_secret_key:
        return "ok"
    return "missing" if registry.asks_stripe else "not_needed"


def _stream_status(stream: Broker, watch: StreamHealth) -> Mapping[str, JsonValue]:
    """A connection over which nothing comes, or that is lost again and again, is none."""
    is_connected = stream.is_connected and watch.condition is not Condition.AWAY
    return {**stream.status(), "connected": is_connected, "stalled": watch.is_stalled}


def _work_of(consumer: Consumer) -> Callable[[], Mapping[str, float | bool | None]]:
    def work() -> Mapping[str, float | bool | None]:
        age = time.monotonic() - consumer.turned_at if consumer.turned_at else None
        return {
            "last_turn_age_seconds": age,
            "waits_for_database": consumer.database_gate.is_on,
            "waits_for_migration": consumer.database_gate.waits_for_migration,
            "forged_message_age_seconds": consumer.worker.reporter.forged_age_seconds,
            "takes_from_postgresql": consumer.watch.is_away,
        }

    return work
