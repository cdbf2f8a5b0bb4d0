"""Servers that each service reaches through a proxy of its own, so that the way to them can break."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from devstack.folder import StackFolder
from devstack.servers import Servers
from devstack.wiring import SERVICES, Addresses
from tests.proxy import Proxy

_LOOPBACK = "127.0.0.1"


class ProxiedServers(Servers):
    """As ``Servers``; the superuser and a person reach them directly."""

    def __init__(self, folder: StackFolder, *, wants_nats: bool = True) -> None:
        super().__init__(folder, wants_nats=wants_nats)
        self.to_postgres: dict[str, Proxy] = {}
        self.to_nats: dict[str, Proxy] = {}
        self._ports: dict[Proxy, int] = {}
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Start both, then the proxies."""
        await super().start()
        for service in SERVICES:
            self.to_postgres[service] = await self._proxy(self.postgres.port)
            if self.nats_url:
                self.to_nats[service] = await self._proxy(self.nats.port)

    async def stop(self) -> None:
        """End the proxies, then whichever runs."""
        await self._open.aclose()
        await super().stop()

    def addresses(self) -> Addresses:
        """The proxies' ports instead of the servers' own."""
        direct = super().addresses()
        return replace(
            direct,
            database_urls={
                name: self._through(self.to_postgres.get(name), url) for name, url in direct.database_urls.items()
            },
            nats_urls={name: self._through(self.to_nats.get(name), url) for name, url in direct.nats_urls.items()},
        )

    @property
    def all_to_postgres(self) -> Sequence[Proxy]:
        """One for each service."""
        return list(self.to_postgres.values())

    @property
    def all_to_nats(self) -> Sequence[Proxy]:
        """One for each service."""
        return list(self.to_nats.values())

    async def _proxy(self, port: int) -> Proxy:
        proxy = Proxy(_LOOPBACK, port)
        self._ports[proxy] = await self._open.enter_async_context(proxy.listening())
        return proxy

    def _through(self, proxy: Proxy | None, url: str) -> str:
        return url if proxy is None else url.replace(f":{proxy.port}", f":{self._ports[proxy]}")
