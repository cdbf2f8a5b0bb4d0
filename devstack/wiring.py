"""Wire each service: its addresses, and files with its secrets. No service gets what it has no use for."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from devstack.child import Command
from devstack.folder import StackFolder
from devstack.options import ROOT, Options
from devstack.ports import LOOPBACK
from devstack.service import Service, service_environment

SERVICES = ("ingest", "processor", "healthd")

# What differs on a laptop from a cluster's defaults: ends sooner (the gateway has let go of every caller by then),
# looks more often, and tells the person before it everything. Settings of .env go before these.
LAPTOP_DEFAULTS = {"DRAIN_SECONDS": "4", "LINGER_SECONDS": "0", "HEALTH_PERIOD_SECONDS": "1", "HEALTH_DETAILS": "1"}


@dataclass(frozen=True)
class Addresses:
    """Where PostgreSQL and NATS are, for each service by its own role and user."""

    database_urls: Mapping[str, str]
    nats_urls: Mapping[str, str]
    app_env: str = "development"


class Wiring:
    """Makes the services, and the command of each."""

    def __init__(self, folder: StackFolder, options: Options, addresses: Addresses, secrets: tuple[str, ...]) -> None:
        self._folder = folder
        self._options = options
        self._addresses = addresses
        self._secret_files = self._write_secrets(secrets)
        self.services = {name: Service(name, self._command) for name in SERVICES}

    def _write_secrets(self, webhook_secrets: tuple[str, ...]) -> Mapping[str, Mapping[str, str]]:
        """For each service, the environment that points at its secrets."""
        write, addresses = self._folder.write_secret, self._addresses
        files = {
            name: {
                "DATABASE_URL_FILE": str(write(f"{name}.database_url", addresses.database_urls[name])),
                "NATS_URL_FILE": str(write(f"{name}.nats_url", addresses.nats_urls[name])),
            }
            for name in SERVICES
        }
        files["ingest"]["STRIPE_WEBHOOK_SECRET_FILE"] = str(write("stripe_webhook_secret", ",".join(webhook_secrets)))
        if self._options.stripe_secret_key is not None:
            path = write("stripe_secret_key", self._options.stripe_secret_key)
            files["processor"]["STRIPE_SECRET_KEY_FILE"] = str(path)
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
            **self._options.extra,
            **self._secret_files[service.name],
            "APP_ENV": self._addresses.app_env,
            "LISTEN_HOST": LOOPBACK,
            "LISTEN_PORT": str(service.public_port),
            "ADMIN_HOST": LOOPBACK,
            "ADMIN_PORT": str(service.admin_port),
            **(self._health_targets() if service.name == "healthd" else {}),
        }

    def _health_targets(self) -> Mapping[str, str]:
        """Where healthd finds the others."""
        polled = [f"{name}={self.services[name].admin_url}" for name in SERVICES if name != "healthd"]
        return {"HEALTH_TARGETS": ",".join(polled)}
