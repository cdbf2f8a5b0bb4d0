"""The console put together: what runs, and what it tells of itself."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

from console.access.gate import Access, gate
from console.access.link import LinkAccess
from console.access.proxy import ProxyAccess
from console.pages.now.page import RATES
from console.pages.now.rates import Rates
from console.routes import ROUTES
from console.settings import ConsoleSettings
from console.web import entrance, static
from console.web.application import Route, listening, make_app
from console.web.health import HealthWatch
from console.web.parts import Parts
from console.web.runs import Runs
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.reasons import reason_of
from sluice.runtime.endless import tell_to_end
from sluice.service.first_contact import hold_readiness
from sluice.service.service import Service

NAME = "console"
_STATEMENT_SECONDS = 4.0
_ASK_SECONDS = 3.0


async def serve(settings: ConsoleSettings, service: Service) -> None:
    """Run until ``service.stop`` is set; it starts, and stays, without PostgreSQL and without healthd."""
    async with (
        _database(settings) as database,
        Runs.open(database) as runs,
        aiohttp.ClientSession(trust_env=False) as session,
        hold_readiness(
            service, partial(what_prevents_work, database), limit_seconds=settings.ready_without_database_seconds
        ),
    ):
        parts = Parts(database, HealthWatch(settings.healthd_admin_url, session), runs)
        service.probes.add_status("pool", database.status)
        service.probes.add_status("database", database.reach)
        access, routes = access_of(settings)
        app = application(settings, parts, access, routes)
        counting = service.start_endless("rates", app[RATES].run)
        async with listening(app, settings.listen_host, settings.listen_port):
            service.probes.has_started = True
            await service.stop.wait()
        tell_to_end(counting)


def application(settings: ConsoleSettings, parts: Parts, access: Access, routes: Sequence[Route]) -> web.Application:
    """Put the pages behind their gate."""
    open_paths = frozenset({entrance.PATH} if not settings.has_proxy else ()) | static.paths()
    app = make_app(parts, routes, gate(access, settings.hosts, open_paths=open_paths))
    app[RATES] = Rates(parts.database)
    return app


def access_of(settings: ConsoleSettings) -> tuple[Access, Sequence[Route]]:
    """Make the way in, and every address: through the proxy, or by a one-time link."""
    if settings.has_proxy:
        return proxy_access(settings), ROUTES
    url = f"http://{settings.listen_host}:{settings.listen_port}"
    write = entrance.link_writer(Path(settings.console_link_file), lambda: url)
    access = LinkAccess(write, allows_actions=settings.console_actions)
    return access, (*ROUTES, entrance.route(access))


def proxy_access(settings: ConsoleSettings) -> ProxyAccess:
    """Make the access that a proxy gives."""
    return ProxyAccess(
        settings.console_user_header,
        tuple(settings.proxies),
        settings.operators,
        settings.viewers,
        allows_actions=settings.console_actions,
    )


async def what_prevents_work(database: Database) -> str | None:
    """Why PostgreSQL does not take our work; None: nothing prevents it."""
    try:
        await database.fetch("SELECT FROM operation LIMIT 1", within_seconds=_ASK_SECONDS)
    except DATABASE_ERRORS as error:
        return reason_of(error)
    return None


def _database(settings: ConsoleSettings) -> AbstractAsyncContextManager[Database]:
    return Database.connect(
        settings.database_url.get_secret_value(),
        application_name=f"sluice-{NAME}",
        min_size=settings.database_pool_min_size,
        max_size=settings.database_pool_max_size,
        command_seconds=_STATEMENT_SECONDS,
        statement_cache=settings.database_statement_cache,
    )
