"""The whole system on one machine: servers, schema, services, gateway; each later part stands on the earlier ones."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

from aiohttp import ClientSession

from devstack.files import read_or_none
from devstack.folder import StackFolder
from devstack.gateway import Gateway, port_in_use
from devstack.maintenance import keep_maintaining, maintain
from devstack.options import External, Options
from devstack.ports import is_free
from devstack.problems import StackProblem
from devstack.roles import make_login_roles
from devstack.routes import load_routes
from devstack.schema import apply_migrations
from devstack.screen import NoOutput, Output
from devstack.servers import Servers
from devstack.service import Service
from devstack.signature_hint import SignatureHint
from devstack.stripe_endpoint import endpoint_disabled, register_destination, register_endpoint
from devstack.tally import is_migrated
from devstack.together import together
from devstack.wiring import SERVICES, Addresses, StripeAccess, Wiring
from sluice.postgres.errors import DATABASE_ERRORS
from sluice.simulator.demo import connected_accounts
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe
from sluice.simulator.stripe_api.server import serve
from sluice.simulator.troubles import Troubles

STRIPE_BASE = "https://api.stripe.com"
OFFLINE_KEY = "rk_test_offline"


class Stack:
    """
    ``async with Stack(options) as stack:`` starts everything and ends everything, in the same event loop.

    Raises:
        StackProblem: something that the person who started it can put right.
    """

    def __init__(self, options: Options, output: Output | None = None) -> None:
        self.options = options
        self.folder = StackFolder(options.folder.resolve())
        self.servers = Servers(self.folder, wants_nats=options.wants_nats)
        self.services: Mapping[str, Service] = {}
        self.gateway_url = ""
        self.webhook_secret = ""
        self.stripe: OfflineStripe | None = None
        self.stripe_access: StripeAccess | None = None
        self.hint = SignatureHint(self._say)
        self._output = output or NoOutput()
        self._parts = AsyncExitStack()
        self._keepers: asyncio.Task[None] | None = None
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._parts.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._parts.aclose()

    @property
    def database_url(self) -> str:
        """PostgreSQL for the superuser, or the external one."""
        external = self.options.external
        return external.database_url if external else self.servers.postgres.url()

    @property
    def nats_url(self) -> str:
        """NATS for a person, or the external one."""
        external = self.options.external
        return external.nats_url if external else self.servers.nats_url

    def environment(self) -> Mapping[str, str]:
        """The content of ``stack.env``, for other shells."""
        values = {
            "DATABASE_URL": self.database_url,
            "NATS_URL": self.nats_url,
            "GATEWAY_URL": self.gateway_url,
            "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
        }
        if self.stripe_access is not None:
            values |= {"STRIPE_API_KEY": self.stripe_access.key, "STRIPE_API_BASE": self.stripe_access.base}
            values |= {"PUBLIC_URL": self.stripe_access.public_url} if self.stripe_access.public_url else {}
        for name, service in self.services.items():
            values[f"{name.upper()}_ADMIN_URL"] = service.admin_url
            values[f"{name.upper()}_PID"] = str(service.pid)
        values["CONSOLE_LINK_FILE"] = str(self.folder.console_link)
        return values

    def console_link(self) -> str:
        """The console's next one-time link."""
        return (read_or_none(self.folder.console_link) or "").strip()

    async def wait_ready(self, name: str, *, within_seconds: float = 20) -> bool:
        """Whether that service is ready, or becomes so in time."""
        return await self.services[name].wait_ready(self._http(), within_seconds=within_seconds)

    async def stop_service(self, name: str, *, by: signal.Signals = signal.SIGTERM) -> None:
        """End a service; it stays away until ``start_service``."""
        await self.services[name].stop(by=by)

    async def start_service(self, name: str) -> None:
        """Start a service that was stopped."""
        await self.services[name].resume(self._http())
        self._write_environment()

    def troubles(self) -> Troubles | None:
        """Troubles for a day with the offline Stripe; None: with the real one they are not ours to cause."""
        if self.stripe is None or self.stripe_access is None:
            return None
        return Troubles(self.stripe, self._ingest_away, partial(endpoint_disabled, self.stripe, self.stripe_access))

    @asynccontextmanager
    async def _ingest_away(self) -> AsyncIterator[None]:
        await self.stop_service("ingest")
        yield
        await self.start_service("ingest")

    def kill(self) -> None:
        """End every child at once, whatever it is doing."""
        for service in self.services.values():
            service.kill()
        self.servers.kill()

    def has_failed(self) -> bool:
        """Whether what keeps the parts alive has itself come to an end."""
        return self._keepers is not None and self._keepers.done()

    def raise_failure(self) -> None:
        """Raise what ended the keepers, if anything did."""
        if self._keepers is not None and self._keepers.done() and not self._keepers.cancelled():
            self._keepers.result()

    async def _start(self) -> None:
        self.folder.prepare()
        self._parts.enter_context(self.folder.alone())
        self._parts.callback(self.folder.environment.unlink, missing_ok=True)
        self.folder.environment.unlink(missing_ok=True)
        self.folder.trim_logs()
        if self.options.port and not is_free(self.options.port):
            raise port_in_use(self.options.port)
        self._session = await self._parts.enter_async_context(ClientSession())
        addresses = await self._provide_servers()
        self.stripe_access = await self._provide_stripe()
        await self._start_services(addresses)
        await self._open_gateway()
        self._keepers = asyncio.create_task(self._keep(), name="keepers")
        self._parts.push_async_callback(self._let_go)
        self._write_environment()

    async def _provide_servers(self) -> Addresses:
        external = self.options.external
        if external is not None:
            self._output.say(f"Using servers that are not Sluice's own: {external.hosts}.")
            await self._prepare_external(external)
            database_urls = dict.fromkeys(SERVICES, external.database_url)
            return Addresses(database_urls, dict.fromkeys(SERVICES, external.nats_url), external.app_env)
        self._output.step("Starting PostgreSQL and NATS" if self.options.wants_nats else "Starting PostgreSQL")
        self._parts.push_async_callback(self.servers.stop)
        await self.servers.start()
        if self.servers.postgres.home.moved:
            self._output.say(self.servers.postgres.home.moved)
        await self._migrate()
        await make_login_roles(self.database_url, self.servers.postgres)
        await maintain(self._maintainer_url)
        return self.servers.addresses()

    @property
    def _maintainer_url(self) -> str:
        return self.servers.postgres.url(user="maintainer")

    async def _provide_stripe(self) -> StripeAccess | None:
        """The real one where its key is given, else an offline one; neither beside servers that are not ours."""
        if self.options.stripe_api_key is not None:
            return StripeAccess(self.options.stripe_api_key, STRIPE_BASE, self.options.extra.get("PUBLIC_URL", ""))
        if self.options.external is not None:
            return None
        self.stripe = OfflineStripe([Key(OFFLINE_KEY)])
        self.stripe.accounts |= connected_accounts()
        public_url = f"http://localhost:{self.options.port}" if self.options.port else "http://localhost"
        register_endpoint(self.stripe, public_url)
        return StripeAccess(OFFLINE_KEY, await self._parts.enter_async_context(serve(self.stripe)), public_url)

    async def _prepare_external(self, external: External) -> None:
        try:
            if external.may_migrate:
                await self._migrate()
            elif not await is_migrated(external.database_url):
                raise StackProblem("That database has no Sluice tables yet: MIGRATE=1 besides EXTERNAL=1 makes them.")
        except DATABASE_ERRORS as error:
            said = str(error) or type(error).__name__
            raise StackProblem(f"Cannot use that PostgreSQL ({said}): correct DATABASE_URL, or start it.") from error

    async def _migrate(self) -> None:
        self._output.step("Applying migrations")
        for name in await apply_migrations(self.database_url):
            self._output.say(f"Applied {name}.")

    async def _start_services(self, addresses: Addresses) -> None:
        own_secret = self.folder.generated_secret("simulator_secret", "whsec_")
        given = self.options.webhook_secrets
        uses_own = self.options.external is None or self.options.wants_demo or not given
        secrets = (own_secret, *given) if uses_own else given
        self.webhook_secret = secrets[0]
        self._register_destination()
        self.services = Wiring(self.folder, self.options, addresses, secrets, self.stripe_access).services
        self._parts.push_async_callback(self._stop_services)
        self._output.step(f"Starting {', '.join(self.services)}")
        await together(*(service.start(self._http()) for service in self.services.values()))

    def _register_destination(self) -> None:
        """Where our URL is known beforehand, let the offline Stripe ping it."""
        if self.stripe is not None and self.stripe_access is not None and self.options.port:
            register_destination(self.stripe, self.stripe_access.public_url, self.webhook_secret)

    async def _stop_services(self) -> None:
        await together(*(service.stop() for service in self.services.values()))

    async def _open_gateway(self) -> None:
        gateway = Gateway(load_routes(), self._public_port, self.hint.on_refused)
        self.gateway_url = await self._parts.enter_async_context(gateway.listen(self.options.port))

    def _public_port(self, service: str) -> int:
        return self.services[service].public_port

    async def _keep(self) -> None:
        """Start again what dies, and keep the logs within bounds, until cancelled."""
        works = [service.keep_alive(self._http(), self._on_restart) for service in self.services.values()]
        if self.options.external is None:
            works += [self.servers.keep_alive(self._say), keep_maintaining(self._maintainer_url)]
        await together(*works, self._trim_logs())

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(30)
            self.folder.trim_logs()

    async def _let_go(self) -> None:
        if self._keepers is not None:
            self._keepers.cancel()
            await asyncio.wait([self._keepers])

    def _on_restart(self, name: str, how: str) -> None:
        self._write_environment()
        self._say(f"{name} {how} and was started again (log: {self.services[name].log}).")

    def _write_environment(self) -> None:
        self.folder.write_environment(self.environment())

    def _say(self, message: str) -> None:
        self._output.say(message)

    def _http(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("the stack is not started")
        return self._session
