"""
Options of ``make run``, from the environment and from ``.env``.

Ambient DATABASE_URL, NATS_URL, APP_ENV and NODE_ENV count for nothing unless EXTERNAL=1: a laptop's shell may point at
production.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from devstack.problems import StackProblem
from sluice.webhook_secret import fault_of

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_PORT = 3000
_NO = frozenset({"", "0", "no", "false", "off"})

# What the stack itself decides for its services; never taken from .env or the shell.
_DECIDED_HERE = frozenset(
    (
        *("PORT", "DEMO", "NATS", "EXTERNAL", "MIGRATE", "DATABASE_URL", "NATS_URL", "APP_ENV", "NODE_ENV"),
        *(
            "STRIPE_SECRET_KEY",
            "STRIPE_API_KEY",
            "STRIPE_API_BASE",
            "STRIPE_WEBHOOK_SECRET",
            "LISTEN_HOST",
            "LISTEN_PORT",
            "ADMIN_HOST",
            "ADMIN_PORT",
        ),
        *("CONSOLE_USER_HEADER", "CONSOLE_PROXIES", "CONSOLE_HOSTS", "CONSOLE_LINK_FILE", "HEALTHD_ADMIN_URL"),
        *("HEALTH_TARGETS", "PATH", "HOME", "PYTHONPATH"),
    )
)


@dataclass(frozen=True)
class External:
    """Servers that are not ours: used as they are, written to only when asked."""

    database_url: str
    nats_url: str
    app_env: str
    may_migrate: bool

    @property
    def hosts(self) -> str:
        """The hosts that it will talk to, without any password."""
        nats = f"NATS at {_host(self.nats_url)}" if self.nats_url else "no NATS"
        return f"PostgreSQL at {_host(self.database_url)}, {nats}"


@dataclass(frozen=True)
class Options:
    """One run's options: ``webhook_secrets`` count beside the simulator's own, ``extra`` goes to every service."""

    folder: Path = ROOT / ".local"
    port: int = DEFAULT_PORT
    wants_demo: bool = False
    wants_nats: bool = True
    webhook_secrets: tuple[str, ...] = ()
    stripe_secret_key: str | None = None
    stripe_api_key: str | None = None
    """For the reconciler, with the real Stripe; None: an offline one, which knows the demo's day."""
    extra: Mapping[str, str] = field(default_factory=dict)
    external: External | None = None


def read_options(environ: Mapping[str, str], *, folder: Path, env_file: Path) -> Options:
    """Read the shell's environment, then ``.env`` for what it does not say. Raises StackProblem."""
    written = {name: value for name, value in dotenv_values(env_file).items() if value is not None}
    said = {**written, **environ}
    external = _external(said) if _is_on(said.get("EXTERNAL", "0")) else None
    return Options(
        folder=folder,
        port=_port(said.get("PORT") or str(DEFAULT_PORT)),
        wants_demo=_is_on(said.get("DEMO", "0" if external else "1")),
        wants_nats=_is_on(said.get("NATS", "1")),
        webhook_secrets=_secrets(written, environ),
        stripe_secret_key=(said if external else written).get("STRIPE_SECRET_KEY") or None,
        stripe_api_key=(said if external else written).get("STRIPE_API_KEY") or None,
        extra={name: value for name, value in written.items() if value and _is_for_services(name)},
        external=external,
    )


def _external(said: Mapping[str, str]) -> External:
    wants_nats = _is_on(said.get("NATS", "1"))
    if not said.get("DATABASE_URL") or (wants_nats and not said.get("NATS_URL")):
        raise StackProblem("EXTERNAL=1 uses your own servers: set DATABASE_URL and NATS_URL (or NATS=0) as well.")
    return External(
        database_url=said["DATABASE_URL"],
        nats_url=said["NATS_URL"] if wants_nats else "",
        app_env=said.get("APP_ENV") or said.get("NODE_ENV") or "development",
        may_migrate=_is_on(said.get("MIGRATE", "0")),
    )


def _secrets(written: Mapping[str, str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets of ``.env`` and of the shell, each once, in that order."""
    listed = ",".join(source.get("STRIPE_WEBHOOK_SECRET", "") for source in (written, environ)).split(",")
    secrets = tuple(dict.fromkeys(secret.strip() for secret in listed if secret.strip()))
    for secret in secrets:
        if (fault := fault_of(secret)) is not None:
            raise StackProblem(f"STRIPE_WEBHOOK_SECRET can be no secret: {fault}. Correct it in .env or in your shell.")
    return secrets


def _is_for_services(name: str) -> bool:
    return name.removesuffix("_FILE") not in _DECIDED_HERE


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:  # noqa: PLR2004 - the highest there is
        raise StackProblem(f"PORT must be a number from 0 to 65535, not {text!r}: try `make run PORT=3001`.")
    return int(text)


def _is_on(text: str) -> bool:
    return text.strip().lower() not in _NO


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None:
        return "the host that its address names"
    return f"{host}:{port}" if port else host
