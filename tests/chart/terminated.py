"""Services as a kubelet has them: processes with an environment, probes on a port, SIGTERM at the end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from devstack.ports import free_port
from tests.chart.helm import ROOT

_LOOK_SECONDS = 0.01
_ANSWER_SECONDS = 5.0


@dataclass
class Pod:
    """One service; its ports stay the same when it is started again."""

    name: str
    environment: Mapping[str, str]
    public_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)

    @property
    def probe(self) -> str:
        """Where readiness is asked."""
        return f"http://127.0.0.1:{self.admin_port}/readyz"

    @asynccontextmanager
    async def running(self, session: aiohttp.ClientSession) -> AsyncIterator[asyncio.subprocess.Process]:
        """Started and ready; killed at the end if it still runs."""
        env = {"PATH": os.environ["PATH"], "LISTEN_HOST": "127.0.0.1", "ADMIN_HOST": "127.0.0.1", "LOG_LEVEL": "error"}
        ports = {"LISTEN_PORT": str(self.public_port), "ADMIN_PORT": str(self.admin_port)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.name, cwd=ROOT, env={**env, **ports, **self.environment}
        )
        try:
            async with asyncio.timeout(45):
                while await status(session, self.probe) != 200:
                    assert process.returncode is None, f"{self.name} ended"
                    await asyncio.sleep(_LOOK_SECONDS)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@dataclass
class Callers:
    """Clients that ask as long as the pod is ready, as a Service's endpoints make them."""

    is_ready: bool = True
    answers: list[int] = field(default_factory=list)
    """The HTTP status of each; 0: a connection that was refused or dropped."""

    async def call(self, ask: Callable[[], Awaitable[int]]) -> None:
        """One of them, until readiness turned."""
        while self.is_ready:
            self.answers.append(await ask())


@dataclass(frozen=True)
class End:
    """How a pod ended."""

    exit_code: int
    seconds: float
    was_unready_first: bool
    """Whether readiness was red while the process still lived."""


async def terminate(
    pod: Pod, process: asyncio.subprocess.Process, session: aiohttp.ClientSession, callers: Callers
) -> End:
    """SIGTERM, and watch readiness until the end; the callers stop when it is red, or gone."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    process.send_signal(signal.SIGTERM)
    was_unready = False
    async with asyncio.timeout(30):
        while process.returncode is None:
            if (seen := await status(session, pod.probe)) != 200:
                callers.is_ready = False
                was_unready |= seen == 503
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LOOK_SECONDS)
    callers.is_ready = False
    return End(process.returncode, loop.time() - began, was_unready)


async def status(session: aiohttp.ClientSession, url: str) -> int:
    """The HTTP status of a GET; 0 when nobody answers."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0
