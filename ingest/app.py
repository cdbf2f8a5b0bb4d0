"""ingest put together: what runs, in which order it starts, and in which it ends."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from ingest import metrics
from ingest.auth.authenticate import Authenticator
from ingest.auth.refusals import Refusals
from ingest.auth.tenant_secrets import Tenants
from ingest.http.body import BodyReader
from ingest.http.endpoint import Receiver
from ingest.http.fast_path import FastPath
from ingest.http.open_file_limit import raise_open_file_limit
from ingest.http.server import Listening, PublicServer, listen
from ingest.journal.journal import Journal
from ingest.journal.write_check import what_prevents_writing
from ingest.relay.publisher import Publisher
from ingest.relay.sweeper import Relay
from ingest.settings import SECRET_NAME, IngestSettings
from ingest.tenant_limits import CpuShare, InFlight
from sluice.contract.event import StripeEvent
from sluice.contract.subjects import ALL_SUBJECTS, STREAM
from sluice.nats.broker import Broker
from sluice.nats.jetstream import JetStream
from sluice.postgres.pool import Database
from sluice.runtime import logs
from sluice.runtime.endless import Run, tell_to_end
from sluice.runtime.probes import JsonValue
from sluice.runtime.secrets import RotatingSecret
from sluice.service.first_contact import hold_readiness
from sluice.service.service import Service
from sluice.webhook_secret import fault_of, fingerprint

_FINISH_SECONDS = 3.0  # a request that has its body is answered within 2.5 s


async def serve(service: Service) -> None:
    """Run ingest until ``service.stop`` is set; it starts, and stays, without PostgreSQL and NATS."""
    settings = service.settings
    if not isinstance(settings, IngestSettings):
        raise TypeError("ingest needs its own settings")
    secret = RotatingSecret(SECRET_NAME, fault_of=fault_of)
    raise_open_file_limit(settings.connections_max)
    stream_spec = settings.stream(STREAM, (ALL_SUBJECTS,))
    async with (
        Database.open(settings, "sluice-ingest", keeps_plans=True) as database,
        JetStream.open_if_any(
            settings, name="ingest", group=service.group, stream=stream_spec, consumer=None
        ) as stream,
        _receiving(service, settings, secret, database, stream) as listening,
        hold_readiness(
            service,
            partial(what_prevents_writing, database),
            limit_seconds=settings.ready_without_database_seconds,
        ),
    ):
        logs.get_logger().info("ingest_listening", host=listening.host, port=listening.port)
        _warn_without_secret(secret)
        _report(service, secret, database, stream)
        service.probes.add_status("listening", lambda: {"host": listening.host, "port": listening.port})
        service.probes.has_started = True
        await service.stop.wait()
        await asyncio.sleep(min(settings.linger_seconds, settings.drain_seconds / 4))  # until load balancers know


@asynccontextmanager
async def _receiving(
    service: Service, settings: IngestSettings, secret: RotatingSecret, database: Database, stream: Broker | None
) -> AsyncIterator[Listening]:
    """The tasks behind the public port; they outlive it, so that what was taken in is answered."""
    refusals = Refusals(service.errors, is_production=settings.is_production)
    publisher = None if stream is None else Publisher(stream)
    journal = Journal(
        database,
        on_recorded=_leave_to_processors if publisher is None else publisher.hand_over,
        on_failure=refusals.not_written,
        limits=settings.journal_limits,
    )
    tenants = Tenants(database, on_fault=refusals.no_secret, limits=settings.tenant_limits)
    cpu = CpuShare()
    authenticator = Authenticator(
        secrets=secret.values, secrets_afresh=secret.values_afresh, tenants=tenants, refusals=refusals, cpu=cpu
    )
    jobs: dict[str, Run] = {"journal": journal.run, "tenants": tenants.run}
    if stream is not None and publisher is not None:
        jobs["relay"] = Relay(database, stream, publisher, limits=settings.relay_limits).run
        service.probes.add_status("relay", lambda: {"waiting": publisher.waiting_rows})
    bodies = BodyReader(settings.body_limits)
    receiver = Receiver(
        authenticator=authenticator,
        journal=journal,
        bodies=bodies,
        tenants=tenants,
        in_flight=InFlight(requests=settings.connections_max, body_bytes=settings.reading_bytes_max, cpu=cpu),
        is_draining=service.stop.is_set,
        answer_seconds=settings.answer_seconds,
    )
    fast_path = (
        FastPath(authenticator=authenticator, journal=journal, bodies=bodies) if settings.http_fast_path else None
    )
    metrics.JOURNAL_QUEUE_ROWS.set_function(lambda: journal.waiting_rows)
    metrics.JOURNAL_QUEUE_BYTES.set_function(lambda: journal.waiting_bytes)
    service.probes.add_status("journal", lambda: {"rows": journal.waiting_rows, "bytes": journal.waiting_bytes})
    async with (
        _running(service, jobs),
        listen(
            PublicServer(receiver, fast_path, settings.connection_limits, is_draining=service.stop.is_set),
            settings.listen_host,
            settings.listen_port,
            reuse_port=settings.listen_reuse_port,
            finish_seconds=min(_FINISH_SECONDS, settings.drain_seconds / 2),
        ) as listening,
    ):
        yield listening


@asynccontextmanager
async def _running(service: Service, jobs: Mapping[str, Run]) -> AsyncIterator[None]:
    tasks = [service.start_endless(name, job) for name, job in jobs.items()]
    try:
        yield
    finally:
        for task in tasks:
            tell_to_end(task)
        await asyncio.wait(tasks)


def _leave_to_processors(events: Sequence[StripeEvent]) -> None:
    """Without NATS they look for themselves."""
    del events


def _warn_without_secret(secret: RotatingSecret) -> None:
    if not secret.values():
        fix = f"set {SECRET_NAME} or {SECRET_NAME}_FILE; until then the platform's webhooks are answered 503"
        logs.get_logger().error("stripe_webhook_secret_missing", fix=fix)


def _report(service: Service, secret: RotatingSecret, database: Database, stream: Broker | None) -> None:
    """After its first contact readiness looks at the configuration alone: ingest answers 503 itself."""
    service.probes.add_readiness("stripe_webhook_secret", lambda: bool(secret.values()))
    service.probes.add_status(
        "configuration", lambda: {"stripe_webhook_secret": "ok" if secret.values() else "missing"}
    )
    service.probes.add_status("webhook_secrets", partial(_fingerprints, secret))
    service.probes.add_status("pool", database.status)
    service.probes.add_status("database", database.reach)
    if stream is not None:
        service.probes.add_status("stream", stream.status)


def _fingerprints(secret: RotatingSecret) -> Mapping[str, JsonValue]:
    """
    Tell which secrets are in force, for ``sluice doctor``, by the names that ``webhook_verified_total`` has.

    healthd asks every few seconds, so the metric follows a secret that was rotated.
    """
    fingerprints = [fingerprint("platform", one) for one in secret.values()]
    metrics.show_secrets(fingerprints)
    return {"fingerprints": [*fingerprints]}
