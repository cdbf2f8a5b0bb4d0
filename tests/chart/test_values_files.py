"""The values for the engines that others make: what of them is ours is tried on the engines themselves."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import yaml

from devstack.child import Child, Command
from devstack.nats import nats_program
from devstack.nats_users import PERSON, SERVICES
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from healthd.database import look_at_schema, look_at_webhooks
from healthd.observations import SchemaSeen, WebhooksSeen
from sluice.contract.subjects import ALL_SUBJECTS, CONSUMER, STREAM
from sluice.nats.jetstream import ConsumerSpec, JetStream, OutgoingMessage, StreamSpec
from sluice.postgres.migrator import migrate
from sluice.postgres.pool import Database
from sluice.runtime.settings import ServiceSettings
from tests.chart.helm import CHART, ROOT, read
from tests.waiting import listens, until

FOLDER = ROOT / "charts" / "values"
PASSWORD = "of-every-login"
NATS_PASSWORD = "of_sluice"
OURS = StreamSpec(STREAM, (ALL_SUBJECTS,), max_bytes=64 * 1024**2)
WATCHED = StreamSpec(STREAM, (ALL_SUBJECTS,), is_ours=False)
_VARIABLE = re.compile(r'"<< (\S+) >>"')  # as the chart of NATS writes what must not stand in quotes


@pytest.fixture(scope="module")
def cluster() -> Mapping[str, Any]:
    """CloudNativePG's Cluster, its specification."""
    spec: Mapping[str, Any] = read(FOLDER / "cloudnative-pg.yaml")["spec"]
    return spec


@pytest_asyncio.fixture
async def managed(session_folder: Path, cluster: Mapping[str, Any]) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL in which the superuser has made what the operator makes: roles and the owner's database."""
    server = await PostgresServer.start(session_folder / "postgres-of-values")
    connection = await asyncpg.connect(server.url("postgres"), timeout=30)
    made = cluster["bootstrap"]["initdb"]
    try:
        for statement in _roles(cluster["managed"]["roles"]):
            await connection.execute(statement)
        await connection.execute(f"ALTER DATABASE {made['database']} OWNER TO {made['owner']}")
        yield server
    finally:
        await connection.close(timeout=5)
        await server.stop()


def _roles(roles: list[Mapping[str, Any]]) -> Iterator[str]:
    for role in roles:
        can = "LOGIN " if role["login"] else "NOLOGIN "
        can += "CREATEROLE " if role.get("createrole") else ""
        can += f"CONNECTION LIMIT {role.get('connectionLimit', -1)} PASSWORD '{PASSWORD}'"
        yield f"CREATE ROLE {role['name']} {can}"
    for role in roles:
        yield from (f"GRANT {group} TO {role['name']}" for group in role.get("inRoles", []))


async def test_the_managed_roles_are_all_that_sluice_needs(managed: PostgresServer, cluster: Mapping[str, Any]) -> None:
    """The owner migrates without being superuser, and each login can do its part; the schema is without a fault."""
    made = cluster["bootstrap"]["initdb"]

    def url(user: str) -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{managed.port}/{made['database']}"

    await migrate(url(made["owner"]))
    async with Database.connect(url("ingest"), application_name="test") as ingest:
        await ingest.execute("INSERT INTO webhook_logs (stripe_event_id, webhook_type, body) VALUES ('e', 'a', '{}')")
    async with Database.connect(url("processor"), application_name="test") as processor:
        assert await processor.execute("UPDATE webhook_logs SET processed = true, outcome = 'applied'") == "UPDATE 1"
    async with Database.connect(url("healthd"), application_name="test") as healthd:
        assert await look_at_webhooks(healthd, count_limit=10, within_seconds=5) == WebhooksSeen()
        assert await look_at_schema(healthd, within_seconds=5) == SchemaSeen()
    async with Database.connect(url("keda"), application_name="test") as keda:
        assert (await keda.fetch((CHART / "files" / "due.sql").read_text()))[0][0] == 0


def test_the_pool_arithmetic_is_told_the_cluster_s_own_limit(cluster: Mapping[str, Any]) -> None:
    """And the chart's values for production name the Secret and the pods that the operator makes."""
    production = read(FOLDER / "production.yaml")
    name = yaml.safe_load((FOLDER / "cloudnative-pg.yaml").read_text())["metadata"]["name"]
    assert production["database"]["maxConnections"] == int(cluster["postgresql"]["parameters"]["max_connections"])
    assert production["secrets"]["databaseCa"]["name"] == f"{name}-ca"
    assert production["networkPolicy"]["databaseTo"] == [{"podSelector": {"matchLabels": {"cnpg.io/cluster": name}}}]


@pytest_asyncio.fixture
async def nats_port(tmp_path: Path) -> AsyncIterator[int]:
    """A server with what our values merge into the chart's configuration; alone and without TLS, unlike there."""
    config = read(FOLDER / "nats.yaml")["config"]
    port = free_port()
    merged = {
        "listen": f"127.0.0.1:{port}",
        "jetstream": {"store_dir": str(tmp_path / "store"), **config["jetstream"]["merge"]},
        **config["merge"],
    }
    path = tmp_path / "nats.conf"
    path.write_text(_VARIABLE.sub(r"\1", json.dumps(merged, indent=1)))
    names = read(FOLDER / "nats.yaml")["container"]["env"]
    command = Command(
        name="NATS",
        argv=[nats_program(), "--config", str(path)],
        env=dict.fromkeys(names, NATS_PASSWORD),
        log=tmp_path / "nats.log",
        record=tmp_path / "nats.json",
    )
    child = Child.spawn(command)
    try:
        await until(lambda: listens(port), what="NATS")
        yield port
    finally:
        await child.stop()


async def test_nats_takes_our_configuration_and_our_users(nats_port: int) -> None:
    """With the passwords of the environment ingest makes the stream, and a message of its reaches the processor."""
    async with (
        asyncio.timeout(30),
        _opened(nats_port, "ingest", OURS, None) as ingest,
        _opened(nats_port, "processor", WATCHED, ConsumerSpec(CONSUMER)) as processor,
        _opened(nats_port, "healthd", WATCHED, None) as healthd,
    ):
        await ingest.wait_connected()
        await processor.wait_connected()
        assert await ingest.publish(OutgoingMessage("stripe.test.platform.a", "evt_1:1", b"{}", {}))
        [message] = await processor.fetch(1, within_seconds=10)
        assert message.payload == b"{}"
        assert (await healthd.consumer_state(CONSUMER, with_ack_floor=False)).ack_pending == 1


@asynccontextmanager
async def _opened(port: int, name: str, stream: StreamSpec, consumer: ConsumerSpec | None) -> AsyncIterator[JetStream]:
    url = f"nats://{name}:{NATS_PASSWORD}@127.0.0.1:{port}"
    settings = ServiceSettings.model_validate({"database_url": "postgresql://nobody@127.0.0.1/x", "nats_url": url})
    async with (
        asyncio.TaskGroup() as group,
        JetStream.open(settings, name=name, group=group, stream=stream, consumer=consumer) as jetstream,
    ):
        yield jetstream


def _subjects(users: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    allowed = {user["user"]: user.get("permissions") for user in users}
    return {
        name: (tuple(limits["publish"]["allow"]), tuple(limits["subscribe"]["allow"]))
        for name, limits in allowed.items()
        if limits is not None
    }


def test_the_users_of_nats_may_what_those_of_make_run_may() -> None:
    """Both have the same users; each service's calls are tried there on the real server."""
    assert _subjects(read(FOLDER / "nats.yaml")["config"]["merge"]["accounts"]["sluice"]["users"]) == SERVICES


def test_the_users_of_tilt_may_the_same() -> None:
    """And a person everything."""
    configuration = next(yaml.safe_load_all((FOLDER / "development" / "nats.yaml").read_text()))["data"]["nats.conf"]
    users = yaml.safe_load(
        configuration[configuration.index("users: [") + len("users: ") : configuration.rindex("]") + 1]
    )
    assert _subjects(users) == SERVICES
    assert {user["user"] for user in users} == {PERSON, *SERVICES}


async def test_nats_takes_the_configuration_of_tilt(tmp_path: Path) -> None:
    """It is read by the server itself, which knows more than we do of what it may hold."""
    configuration = next(yaml.safe_load_all((FOLDER / "development" / "nats.yaml").read_text()))["data"]["nats.conf"]
    path = tmp_path / "nats.conf"
    path.write_text(configuration)
    checked = await asyncio.create_subprocess_exec(nats_program(), "-t", "--config", path)
    assert await checked.wait() == 0


@pytest.mark.parametrize("login", [{}, {"user": "sluice", "pass": "wrong"}], ids=["nobody", "wrong password"])
async def test_nats_lets_no_other_user_in(nats_port: int, login: Mapping[str, str]) -> None:
    """There is no user without a password."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", nats_port)
        assert (await reader.readline()).startswith(b"INFO ")
        writer.write(b"CONNECT " + json.dumps({"verbose": False, **login}).encode() + b"\r\nPING\r\n")
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        writer.close()


def test_the_addresses_of_nats_name_its_users() -> None:
    """The page that shows the Secret, and the values' own comment."""
    users = {user["user"] for user in read(FOLDER / "nats.yaml")["config"]["merge"]["accounts"]["sluice"]["users"]}
    for page in (FOLDER / "nats.yaml", ROOT / "docs" / "kubernetes.md"):
        assert set(re.findall(r"tls://(\w+):…@", page.read_text())) == users == set(SERVICES)
