"""Settings of the console."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Self

from pydantic import Field, field_validator, model_validator

from console.access.addresses import Network, is_loopback
from sluice.runtime.settings import BeyondRollouts, ServiceSettings

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_HOST = re.compile(r"[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\]")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class ConsoleSettings(ServiceSettings):
    """Settings of the console beside those of every service."""

    listen_host: str = Field("127.0.0.1", description="address of the pages; without a proxy a loopback address alone")
    listen_port: int = Field(8080, ge=0, le=65_535, description="port of the pages")
    console_actions: bool = Field(False, description="true lets operators change things; else every page only shows")
    console_user_header: str = Field(
        "", description="header in which an authenticating proxy names the user; empty: one-time links, on loopback"
    )
    console_proxies: str = Field(
        "", description="addresses or networks of that proxy, with commas; from others the header is refused"
    )
    console_hosts: str = Field(
        "", description="names under which people reach the pages through the proxy, with commas: console.your.host"
    )
    console_operators: str = Field("", description="users, as the proxy names them, who may change things; with commas")
    console_viewers: str = Field("", description="users who may look; `*`: all whom the proxy lets in")
    console_link_file: str = Field(
        "", description="file that holds the next one-time link, for `sluice console`; needed without a proxy"
    )
    healthd_admin_url: str = Field(
        "", description="healthd's admin port, http://host:9090; without it the page Now tells no health"
    )
    ready_without_database_seconds: BeyondRollouts = Field(
        900, description="seconds from the start until ready although PostgreSQL was never reached"
    )

    @property
    def has_proxy(self) -> bool:
        """Whether an authenticating proxy stands before the pages."""
        return bool(self.console_user_header)

    @property
    def proxies(self) -> Sequence[Network]:
        """Addresses from which the user's header is believed."""
        return [ipaddress.ip_network(item) for item in _items(self.console_proxies)]

    @property
    def hosts(self) -> frozenset[str]:
        """Host names, without a port, that a request may carry."""
        return frozenset(_items(self.console_hosts.lower()) if self.has_proxy else LOOPBACK_HOSTS)

    @property
    def operators(self) -> frozenset[str]:
        """Users who may change things."""
        return frozenset(_items(self.console_operators.casefold()))

    @property
    def viewers(self) -> frozenset[str]:
        """Users who may look."""
        return frozenset(_items(self.console_viewers.casefold()))

    @field_validator("console_user_header")
    @classmethod
    def _is_a_header(cls, name: str) -> str:
        if name and not _HEADER.fullmatch(name):
            raise ValueError("it must be the name of a header, such as X-Forwarded-Email")
        return name

    @field_validator("console_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for item in _items(text):
            try:
                network = ipaddress.ip_network(item)
            except ValueError as error:
                raise ValueError(f"'{item}' is no address or network, such as 10.0.0.7 or 10.1.0.0/16") from error
            if network.prefixlen == 0:
                raise ValueError(f"'{item}' is every address: then any client could say who it is")
        return text

    @field_validator("console_hosts")
    @classmethod
    def _are_hosts(cls, text: str) -> str:
        for item in _items(text.lower()):
            if not _HOST.fullmatch(item):
                raise ValueError(f"'{item}' is no host name; leave scheme and port out")
        return text

    @model_validator(mode="after")
    def _knows_its_people(self) -> Self:
        if not self.has_proxy:
            return self._stays_on_loopback()
        if not self.console_proxies:
            raise ValueError("CONSOLE_PROXIES must name the proxy that CONSOLE_USER_HEADER is believed from")
        if not self.console_hosts:
            raise ValueError("CONSOLE_HOSTS must name the host under which people reach the console")
        if not (self.console_operators or self.console_viewers):
            raise ValueError("CONSOLE_OPERATORS and CONSOLE_VIEWERS are empty: no user could look")
        return self

    def _stays_on_loopback(self) -> Self:
        if not is_loopback(self.listen_host):
            raise ValueError(
                "LISTEN_HOST is no loopback address, and no proxy says who asks: set it to 127.0.0.1, or set "
                "CONSOLE_USER_HEADER, CONSOLE_PROXIES and CONSOLE_HOSTS"
            )
        if not self.console_link_file:
            raise ValueError("CONSOLE_LINK_FILE must name a file for one-time links, for no proxy says who asks")
        return self


def _items(text: str) -> Sequence[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
