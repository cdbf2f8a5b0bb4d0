"""``python -m healthd``: looks at every part of Sluice on its own schedule and says how it is."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial

import aiohttp
from aiohttp import web

from healthd import metrics
from healthd.app import answer, make_app, serve
from healthd.health_state import HealthState
from healthd.poll import DatabasePoll, Poll, ServicePoll, StreamPoll, poll_until
from healthd.record import Recorder
from healthd.replicas import ServiceWatch
from healthd.settings import Settings
from sluice.contract.subjects import ALL_SUBJECTS, STREAM
from sluice.nats.jetstream import JetStream, StreamSpec
from sluice.postgres.pool import Database
from sluice.runtime import output
from sluice.runtime.settings import load
from sluice.service.command_line import explain
from sluice.service.service import Service, run

NAME = "healthd"
WATCHED = StreamSpec(STREAM, (ALL_SUBJECTS,), is_ours=False)


def main() -> None:
    """Read the settings from the environment and run until SIGTERM."""
    output.protect(NAME)
    explain("sluice-healthd", "Poll every part of Sluice and report its health.", Settings)
    settings = load(Settings)
    run(NAME, settings, partial(watch, settings))


async def watch(settings: Settings, service: Service) -> None:
    """Answer at once with what is known, nothing at first; look until told to stop."""
    has_stream = bool(settings.nats_servers)
    state = HealthState((target.name for target in settings.targets), settings.limits, has_stream=has_stream)
    metrics.publish(state)
    _show_on_admin_port(state, service)
    app = make_app(state, with_details=settings.health_details)
    async with (
        _database(settings) as database,
        JetStream.open_if_any(settings, name=NAME, group=service.group, stream=WATCHED, consumer=None) as stream,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0), trust_env=False) as session,
        serve(app, host=settings.listen_host, port=settings.listen_port),
    ):
        service.probes.add_status("pool", database.status)
        service.probes.add_readiness("first_verdict", lambda: state.has_first_verdict)
        service.probes.has_started = True
        within_seconds = settings.look_seconds
        polls: list[Poll] = [
            DatabasePoll(state, database, count_limit=settings.health_count_limit, within_seconds=within_seconds),
            *_service_polls(settings, state, session),
        ]
        if stream is not None:
            service.probes.add_status("stream", stream.status)
            polls.append(StreamPoll(state, stream, within_seconds=within_seconds))
        recorder = _recorder(settings, state, database)
        recording = service.group.create_task(recorder.run(service.stop), name="record")
        looking = poll_until(
            service.stop, polls, state, period_seconds=settings.health_period_seconds, note=recorder.note
        )
        await _linger(service, settings, service.group.create_task(looking, name="polls"))
        await recording


async def _linger(service: Service, settings: Settings, polls: asyncio.Task[None]) -> None:
    """Until told to stop, and then until load balancers know; a look that waits longer is not worth waiting for."""
    await service.stop.wait()
    await asyncio.sleep(min(settings.linger_seconds, settings.drain_seconds / 4))
    polls.cancel()
    await asyncio.wait([polls])


def _database(settings: Settings) -> AbstractAsyncContextManager[Database]:
    """One connection, whatever pool the other services were given."""
    return Database.connect(
        settings.database_url.get_secret_value(),
        application_name=f"sluice-{NAME}",
        min_size=1,
        max_size=1,
        command_seconds=settings.look_seconds,
        statement_cache=settings.database_statement_cache,
    )


def _recorder(settings: Settings, state: HealthState, database: Database) -> Recorder:
    return Recorder(
        state,
        database,
        beat_seconds=settings.health_record_seconds,
        retain_days=settings.health_retain_days,
        within_seconds=min(settings.look_seconds, settings.drain_seconds / 4),
    )


def _service_polls(settings: Settings, state: HealthState, session: aiohttp.ClientSession) -> list[Poll]:
    watches = (
        ServiceWatch(target, session, within_seconds=settings.look_seconds, dns_seconds=settings.health_dns_seconds)
        for target in settings.targets
    )
    return [ServicePoll(state, watch) for watch in watches]


def _show_on_admin_port(state: HealthState, service: Service) -> None:
    """The admin port is for operators: always with details."""

    async def health(_: web.Request) -> web.Response:
        return answer(state, with_details=True)

    service.probes.add_page("/api/health", health)


if __name__ == "__main__":
    main()
