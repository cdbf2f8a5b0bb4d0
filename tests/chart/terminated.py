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

READY, UNREADY = 200, 503
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

    ask: Callable[[], Awaitable[int]]
    is_ready: bool = True
    answers: list[int] = field(default_factory=list)
    """The HTTP status of each; 0: a connection that was refused or dropped."""

    async def call(self) -> None:
        """One of them, until readiness turned."""
        while self.is_ready:
            self.answers.append(await self.ask())

    async def stop(self) -> None:
        """The word gets round, but not to the one who asks once more: the listener is open longer than that."""
        self.is_ready = False
        self.answers.append(await self.ask())


@dataclass(frozen=True)
class End:
    """How a pod ended."""

    exit_code: int
    seconds: float


async def terminate(
    pod: Pod,
    process: asyncio.subprocess.Process,
    when_unready: Callable[[], Awaitable[None]],
    *,
    session: aiohttp.ClientSession,
) -> End:
    """
    SIGTERM, and what becomes of it.

    Raises:
        AssertionError: readiness was not seen red as long as the process lived, or was green again.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        while (seen := await status(session, pod.probe)) == READY:
            await asyncio.sleep(_LOOK_SECONDS)
        assert seen == UNREADY, f"{pod.name} was gone before it was seen to be unready"
        await when_unready()
        while process.returncode is None:
            assert await status(session, pod.probe) != READY, f"{pod.name} was ready again"
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LOOK_SECONDS)
    return End(process.returncode, loop.time() - began)


async def status(session: aiohttp.ClientSession, url: str) -> int:
    """The HTTP status of a GET; 0 when nothing answers."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError):
        return 0
