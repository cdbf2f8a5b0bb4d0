"""NATS servers configured otherwise than ours: with little disk, or several as a cluster."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import nats

from devstack.child import Child, Command
from devstack.files import tail
from devstack.nats import nats_program
from devstack.ports import LOOPBACK, free_port
from tests.waiting import until

CLUSTER = "test"


@dataclass(frozen=True)
class NatsProcess:
    """One running server."""

    name: str
    port: int
    folder: Path
    child: Child

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://{LOOPBACK}:{self.port}"


@asynccontextmanager
async def nats_process(folder: Path, *, name: str = "small", **more: object) -> AsyncIterator[NatsProcess]:
    """A server with these settings, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    jetstream: Mapping[str, object] = {"store_dir": str(folder), **more.pop("jetstream", {})}  # type: ignore[dict-item]
    settings = {"server_name": name, "listen": f"{LOOPBACK}:{port}", "jetstream": jetstream, **more}
    configuration, log = folder / "nats.conf", folder / "nats.log"
    configuration.write_text(json.dumps(settings))
    child = Child.spawn(Command(name, [nats_program(), "--config", str(configuration)], {}, log))
    try:
        await until(lambda: "Listening for client connections" in tail(log, limit_bytes=100_000), within_seconds=30)
        yield NatsProcess(name, port, folder, child)
    finally:
        await child.stop()


@asynccontextmanager
async def nats_cluster(folder: Path, nodes: int = 3) -> AsyncIterator[Sequence[NatsProcess]]:
    """So many servers that hold streams together, once they have a leader."""
    ports = [free_port() for _ in range(nodes)]
    routes = [f"nats://{LOOPBACK}:{port}" for port in ports]
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(
                nats_process(
                    folder / f"node{number}",
                    name=f"node{number}",
                    cluster={"name": CLUSTER, "listen": f"{LOOPBACK}:{port}", "routes": routes},
                )
            )
            for number, port in enumerate(ports)
        ]
        await until(lambda: _takes_streams(servers[0]), within_seconds=60)
        yield servers


async def _takes_streams(server: NatsProcess) -> bool:
    client = await nats.connect(server.url)
    try:
        await client.jetstream(timeout=1).account_info()
    except Exception:  # noqa: BLE001  it has no leader yet, and says so in several ways
        return False
    finally:
        await client.close()
    return True
