"""
The three services in a network of their own, with IPv4 alone, IPv6 alone and both.

``unshare --net python -m tests.network.families FOLDER`` tells, as JSON, for each which ports answered at which
address, and whether a payment's webhooks had their effect. It changes the network that it runs in.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import psutil

from devstack.child import Child, Command
from devstack.nats import nats_program
from devstack.ports import free_port
from devstack.postgres import DEFAULT_DATABASE, SERVICE_LOGINS, PostgresServer
from devstack.roles import make_login_roles
from devstack.schema import apply_migrations
from tests.waiting import until

SECRET = "whsec_of_every_family"
FAMILIES: Mapping[str, Sequence[str]] = {"IPv4": ["127.0.0.1"], "IPv6": ["[::1]"], "both": ["127.0.0.1", "[::1]"]}
ROOT = Path(__file__).parents[2]
_SWITCH = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")


def configure(family: str) -> None:
    """Let the loopback have the addresses of that family alone."""
    _SWITCH.write_text("1" if family == "IPv4" else "0")
    subprocess.run(["ip", "addr", "flush", "dev", "lo", "scope", "host"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if family != "IPv6":
        subprocess.run(["ip", "addr", "replace", "127.0.0.1/8", "dev", "lo"], check=True)
    if family != "IPv4":
        subprocess.run(["ip", "addr", "replace", "::1/128", "dev", "lo"], check=True)


class Services:
    """The three, with the addresses that one host of that family has."""

    def __init__(self, folder: Path, host: str, urls: Mapping[str, str], nats_url: str) -> None:
        self._folder = folder
        self.host = host
        self.urls = urls
        self.public = {name: free_port() for name in ("ingest", "healthd")}
        self.admin = {name: free_port() for name in SERVICE_LOGINS}
        targets = ",".join(f"{name}=http://{host}:{self.admin[name]}" for name in ("ingest", "processor"))
        self._common = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "NATS_URL": nats_url,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "HEALTH_TARGETS": targets,
            "LINGER_SECONDS": "0",
        }

    def admin_url(self, name: str, host: str) -> str:
        """The address that answers whether a service is ready."""
        return f"http://{host}:{self.admin[name]}/readyz"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of them, ready."""
        async with AsyncExitStack() as stack:
            children = {name: Child.spawn(self._command(name)) for name in self.admin}
            for child in children.values():
                stack.push_async_callback(child.stop)
            for name, child in children.items():
                await until(partial(self._is_ready, name, child), within_seconds=60, what=name)
            yield

    async def _is_ready(self, name: str, child: Child) -> bool:
        assert child.exit_code is None, f"{name} ended"
        return await _is_well(self.admin_url(name, self.host))

    def _command(self, name: str) -> Command:
        ports = {"ADMIN_PORT": str(self.admin[name]), "LISTEN_PORT": str(self.public.get(name, 0))}
        env = {**self._common, **ports, "DATABASE_URL": self.urls[name]}
        return Command(name, [sys.executable, "-m", name], env, self._folder / f"{name}.log", folder=ROOT)


async def _is_well(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _services(family: str, folder: Path, server: PostgresServer, nats_port: int) -> Services:
    host = FAMILIES[family][-1]
    urls = {role: server.url(DEFAULT_DATABASE, role).replace("127.0.0.1", host) for role in SERVICE_LOGINS}
    return Services(folder, host, urls, f"nats://{host}:{nats_port}")


async def _try(family: str, services: Services) -> Mapping[str, object]:
    hosts = FAMILIES[family]
    async with services.running():
        found = {}
        for host in FAMILIES["both"]:
            asked = {f"{name} admin": services.admin_url(name, host) for name in services.admin}
            asked["healthd"] = f"http://{host}:{services.public['healthd']}/api/health"
            found[host] = sorted([name for name, url in asked.items() if await _is_well(url)])
        sent = [await _send(f"http://{host}:{services.public['ingest']}", services.urls["processor"]) for host in hosts]
    return {"answers": found, "sent": sent}


async def _send(to: str, database_url: str) -> int:
    """`sluice send` of one payment's life, until it is processed; its exit code."""
    arguments = ["send", f"--to={to}", "--scenario=checkout_paid", "--in-order", "--wait"]
    env = {**os.environ, "DATABASE_URL": database_url, "STRIPE_WEBHOOK_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sluice.ops", *arguments, cwd=ROOT, env=env, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


def _has_hung_up(port: int) -> bool:
    """All are disconnected; were an address gone before a farewell arrives, its client would live on."""
    connected = {psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT}
    seen = psutil.net_connections("tcp")
    return not any(one.laddr and one.laddr.port == port and one.status in connected for one in seen)


@asynccontextmanager
async def _nats(folder: Path) -> AsyncIterator[int]:
    """On every address of both families."""
    port = free_port()
    argv = [nats_program(), "--addr", "::", "--port", str(port), "--jetstream", "--store_dir", str(folder / "nats")]
    child = Child.spawn(Command("NATS", argv, {}, folder / "nats.log"))
    try:
        yield port
    finally:
        await child.stop()


async def main(folder: Path) -> Mapping[str, object]:
    """Try each family; PostgreSQL and NATS start once, while there are both."""
    configure("both")
    server = await PostgresServer.start(folder / "postgres", settings={"listen_addresses": "*"})
    try:
        await apply_migrations(server.url(DEFAULT_DATABASE))
        await make_login_roles(server.url(DEFAULT_DATABASE), server)
        async with _nats(folder) as nats_port:
            made = {family: _services(family, folder, server, nats_port) for family in FAMILIES}
            found = {}
            for family, services in made.items():
                configure(family)
                found[family] = await _try(family, services)
                await until(partial(_has_hung_up, nats_port), what="the services' last words to NATS")
            configure("both")
            return found
    finally:
        await server.stop()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))  # noqa: T201  the answer
