"""Wire each service: its addresses, and files with its secrets. No service gets what it has no use for."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from devstack.child import Command
from devstack.folder import StackFolder
from devstack.options import ROOT, Options
from devstack.ports import LOOPBACK
from devstack.service import Service, service_environment

SERVICES = ("ingest", "processor", "healthd", "reconciler", "console")
WITHOUT_NATS = frozenset({"reconciler", "console"})
"""Services that have no user at NATS."""

# What differs on a laptop from a cluster's defaults: ends sooner (the gateway has let go of every caller by then),
# looks more often, and tells the person before it everything. Settings of .env go before these.
LAPTOP_DEFAULTS = {
    "DRAIN_SECONDS": "4",
    "LINGER_SECONDS": "0",
    "HEALTH_PERIOD_SECONDS": "1",
    "HEALTH_DETAILS": "1",
    "RECONCILE_EVERY_SECONDS": "5",
    "RECONCILE_FIRST_SECONDS": "90000",  # the demo tells an offline Stripe of a day that has passed
    "RECONCILE_OVERLAP_SECONDS": "90000",
}


@dataclass(frozen=True)
class Addresses:
    """Where PostgreSQL and NATS are, for each service by its own role and user."""

    database_urls: Mapping[str, str]
    nats_urls: Mapping[str, str]
    app_env: str = "development"


@dataclass(frozen=True)
class StripeAccess:
    """A key, and the address of the Stripe that it opens."""

    key: str = field(repr=False)
    base: str
    public_url: str = ""
    """Where that Stripe would reach ingest; empty: our endpoint is not looked at, unless a setting says where."""


class Wiring:
    """
    Makes the services, and the command of each.

    Args:
        stripe: for the reconciler; None: there is nothing to reconcile with, and it is left out.
    """

    def __init__(
        self,
        folder: StackFolder,
        options: Options,
        addresses: Addresses,
        secrets: tuple[str, ...],
        stripe: StripeAccess | None,
    ) -> None:
        self._folder = folder
        self._options = options
        self._addresses = addresses
        self._stripe = stripe
        self._names = [name for name in SERVICES if stripe is not None or name != "reconciler"]
        self._secret_files = self._write_secrets(secrets)
        self.services = {name: Service(name, self._command) for name in self._names}

    def _write_secrets(self, webhook_secrets: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
        """For each service, the environment that points at its secrets."""
        write, addresses = self._folder.write_secret, self._addresses
        files = {
            name: {
                "DATABASE_URL_FILE": str(write(f"{name}.database_url", addresses.database_urls[name])),
                "NATS_URL_FILE": str(write(f"{name}.nats_url", addresses.nats_urls.get(name, ""))),
            }
            for name in self._names
        }
        if self._stripe is not None:
            files["reconciler"] = {
                "DATABASE_URL_FILE": files["reconciler"]["DATABASE_URL_FILE"],
                "STRIPE_API_KEY_FILE": str(write("stripe_api_key", self._stripe.key)),
                "STRIPE_API_BASE": self._stripe.base,
                **({"PUBLIC_URL": self._stripe.public_url} if self._stripe.public_url else {}),
            }
        files["ingest"]["STRIPE_WEBHOOK_SECRET_FILE"] = str(write("stripe_webhook_secret", ",".join(webhook_secrets)))
        if self._options.stripe_secret_key is not None:
            path = write("stripe_secret_key", self._options.stripe_secret_key)
            files["processor"]["STRIPE_SECRET_KEY_FILE"] = str(path)
        files["console"] = {
            "DATABASE_URL_FILE": files["console"]["DATABASE_URL_FILE"],
            "CONSOLE_LINK_FILE": str(self._folder.console_link),
        }
        return files

    def _command(self, service: Service) -> Command:
        return Command(
            name=service.name,
            argv=[sys.executable, "-m", service.name],
            env=self._environment(service),
            log=self._folder.log(service.name),
            record=self._folder.record(service.name),
            folder=ROOT,
        )

    def _environment(self, service: Service) -> Mapping[str, str]:
        return {
            **service_environment(os.environ),
            **LAPTOP_DEFAULTS,
            **({} if self._options.external else {"CONSOLE_ACTIONS": "1"}),
            **self._options.extra,
            **self._secret_files[service.name],
            "APP_ENV": self._addresses.app_env,
            "LISTEN_HOST": LOOPBACK,
            "LISTEN_PORT": str(service.public_port),
            "ADMIN_HOST": LOOPBACK,
            "ADMIN_PORT": str(service.admin_port),
            **(self._health_targets() if service.name == "healthd" else {}),
            **({"HEALTHD_ADMIN_URL": self.services["healthd"].admin_url} if service.name == "console" else {}),
        }

    def _health_targets(self) -> Mapping[str, str]:
        """Where healthd finds the others."""
        polled = [f"{name}={self.services[name].admin_url}" for name in self._names if name != "healthd"]
        return {"HEALTH_TARGETS": ",".join(polled)}
