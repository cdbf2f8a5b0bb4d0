"""Both targets of the Dockerfile, built; every command of the chart runs from them as a cluster would run it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from devstack.child import Child
from devstack.ports import free_port
from devstack.postgres import PostgresServer
from devstack.roles import make_login_roles
from tests.chart.helm import Values, merge, pod_specs, render, values_files
from tests.devstack.folders import reachable_folder
from tests.image.builder import Image, building
from tests.image.container import start
from tests.waiting import until

SECRET = "whsec_of_an_image"
ALL: Values = {"reconciler": {"enabled": True}, "console": {"enabled": True}}
TARGETS: Mapping[str, Values] = {
    "run": merge(values_files()["minimal-values"], ALL),
    "dev": merge(values_files()["development"], ALL),
}
pytestmark = pytest.mark.timeout(600)  # the first one builds


@pytest.fixture(scope="module")
def images() -> Iterator[Callable[[str], Image]]:
    """Each target, built when it is first asked for."""
    built: dict[str, Image] = {}
    with reachable_folder() as folder, building(folder) as builder:

        def get(target: str) -> Image:
            if target not in built:
                built[target] = builder.build(target)
            return built[target]

        yield get


PARTS = ("ingest", "processor", "healthd", "reconciler", "console")


@dataclass
class Pods:
    """The chart's commands in one image, on one PostgreSQL and NATS."""

    image: Image
    target: str
    environment: Mapping[str, str]
    folder: Path
    user: str = "65532:65532"
    urls: Mapping[str, str] = field(default_factory=dict)
    admin: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PARTS})
    public: int = field(default_factory=free_port)

    def start(self, key: str, part: str, command: Sequence[str] = ()) -> Child:
        """One container of the chart's, or another command as that part."""
        specs = pod_specs(render(TARGETS[self.target]))
        return start(
            self.image,
            command or specs[key]["containers"][0]["command"],
            name=key,
            environment={**self.environment, **self._own(part)},
            log=self.folder / f"{part}.log",
            user=self.user,
            read_only=self.target == "run",
        )

    async def run(self, key: str, part: str, command: Sequence[str] = ()) -> None:
        """Start it and wait for its good end."""
        code = await self.start(key, part, command).wait(within_seconds=120)
        assert code == 0, (self.folder / f"{part}.log").read_text()

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Sequence[Child]]:
        """All of them, ready."""
        async with AsyncExitStack() as stack:
            children = []
            for name in PARTS:
                children.append(self.start(f"Deployment/{name}", name))
                stack.push_async_callback(children[-1].stop)
            for child, name in zip(children, PARTS, strict=True):
                await until(partial(self._is_ready, child, name), within_seconds=90, what=name)
            yield children

    async def _is_ready(self, child: Child, name: str) -> bool:
        assert child.exit_code is None, (self.folder / f"{name}.log").read_text()
        try:
            url = f"http://127.0.0.1:{self.admin[name]}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _own(self, part: str) -> Mapping[str, str]:
        ports = {"ADMIN_PORT": str(self.admin.get(part, 0)), "LISTEN_PORT": str(self.public if part == "ingest" else 0)}
        targets = [f"{name}=http://127.0.0.1:{self.admin[name]}" for name in PARTS if name != "healthd"]
        console = {"LISTEN_HOST": "127.0.0.1", "CONSOLE_LINK_FILE": "/tmp/console.link"} if part == "console" else {}
        return {"DATABASE_URL": self.urls[part], "HEALTH_TARGETS": ",".join(targets), **ports, **console}


@pytest.fixture
async def pods(
    images: Callable[[str], Image],
    target: str,
    empty_database_url: str,
    postgres_server: PostgresServer,
    nats_url: str,
    tmp_path: Path,
) -> Pods:
    """On an empty database, which the image's own migration fills."""
    name = empty_database_url.rsplit("/", 1)[1]
    urls = {role: postgres_server.url(name, role) for role in PARTS} | {"migrate": empty_database_url}
    environment = {"NATS_URL": nats_url, "STRIPE_WEBHOOK_SECRET": SECRET, "LINGER_SECONDS": "0"}
    return Pods(await asyncio.to_thread(images, target), target, environment, tmp_path, urls=urls)


async def _migrate(pods: Pods, server: PostgresServer) -> None:
    await pods.run("Job/migrate", "migrate")
    await make_login_roles(pods.urls["migrate"], server)


@pytest.mark.parametrize("target", TARGETS)
async def test_all_that_the_chart_runs_works(pods: Pods, postgres_server: PostgresServer) -> None:
    """Migration, the services, the webhooks of `helm test`, and a clean end by SIGTERM."""
    await _migrate(pods, postgres_server)
    async with pods.services() as children:
        command = [
            "sluice",
            "send",
            f"--to=http://127.0.0.1:{pods.public}",
            "--scenario=checkout_paid",
            "--in-order",
            "--wait",
        ]
        await pods.run("Pod/test", "processor", command)
        assert [await child.stop(within_seconds=30) for child in children] == [0] * len(PARTS)


@pytest.mark.parametrize("target", ["run"])
async def test_any_user_of_the_cluster_s_choice_may_run_it(pods: Pods, postgres_server: PostgresServer) -> None:
    """OpenShift gives each namespace users of its own, in the group root; no name stands for them."""
    pods.user = "1000660000:0"
    await _migrate(pods, postgres_server)
    async with pods.services():
        pass
