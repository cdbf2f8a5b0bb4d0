"""Looks at every replica of a service, through its admin port."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import aiohttp
from yarl import URL

from healthd.observations import Problem, ReplicaSeen, ServiceSeen
from healthd.replica_status import parse_answer
from sluice.runtime.health_targets import Target

REPLICAS_AT_MOST = 100
"""Of one service; keeps a wildcard name from becoming a flood of requests and of labels."""
ANSWER_BYTES_AT_MOST = 256 * 1024
_GONE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Unresolved(Exception):
    """The resolver did not answer; what the name stands for is not known."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name; none when no such name exists. Raises Unresolved when the resolver fails."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _GONE:
            return ()
        raise Unresolved from error
    return sorted({str(address[0]) for *_, address in found})


class ServiceWatch:
    """
    One service: resolves its name anew for each look, then asks all replicas at the same time.

    Args:
        dns_seconds: for so long a resolver may still name a replica that has left; 0 where the host is an address.
    """

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        *,
        within_seconds: float,
        resolver: Resolve = resolve,
        dns_seconds: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = target
        self._dns_seconds = 0 if _is_address(target.host) else dns_seconds
        self._clock = clock
        self._last_answers: dict[str, tuple[ReplicaSeen, float]] = {}
        self._session = session
        self._within_seconds = within_seconds
        self._resolver = resolver
        self._addresses: Sequence[str] = ()

    async def look(self) -> ServiceSeen:
        """Every replica, live or not. Raises Unresolved when the name never resolved and does not now."""
        addresses = await self._find()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(address)) for address in addresses[:REPLICAS_AT_MOST]]
        return ServiceSeen(self._with_leavers(tuple(task.result() for task in asked)))

    def _with_leavers(self, replicas: Sequence[ReplicaSeen]) -> tuple[ReplicaSeen, ...]:
        """Mark those that drain, or answered until a moment ago: no resolver is as quick as a rolling update."""
        now = self._clock()
        known = {name: answer for name, answer in self._last_answers.items() if now - answer[1] <= self._dns_seconds}
        known |= {replica.address: (replica, now) for replica in replicas if replica.is_live}
        self._last_answers = known
        return tuple(self._marked(replica) for replica in replicas)

    def _marked(self, replica: ReplicaSeen) -> ReplicaSeen:
        if not self._dns_seconds:
            return replica
        if replica.is_live:
            return replace(replica, is_leaving=replica.is_draining)
        known = self._last_answers.get(replica.address)
        if known is None:
            return replica
        return replace(known[0], problem=replica.problem, is_ready=False, pool=None, is_leaving=True)

    async def _find(self) -> Sequence[str]:
        """The addresses now, or the last known ones while the resolver is away."""
        try:
            async with asyncio.timeout(self._within_seconds):
                self._addresses = await self._resolver(self.target.host, self.target.port)
        except (TimeoutError, OSError, Unresolved) as error:
            if not self._addresses:
                raise Unresolved from error
        return self._addresses

    async def _ask(self, address: str) -> ReplicaSeen:
        try:
            async with asyncio.timeout(self._within_seconds):
                return await self._read(address)
        except TimeoutError:
            problem = Problem.TIMED_OUT
        except (aiohttp.ClientError, OSError):
            problem = Problem.UNREACHABLE
        return ReplicaSeen(self._name(address), problem)

    async def _read(self, address: str) -> ReplicaSeen:
        live, _ = await self._get(address, "/livez")
        if not live:
            return ReplicaSeen(self._name(address), Problem.BAD_ANSWER)
        is_good, body = await self._get(address, "/status")
        return parse_answer(self._name(address), body if is_good else b"")

    async def _get(self, address: str, path: str) -> tuple[bool, bytes]:
        url = URL.build(scheme="http", host=address, port=self.target.port, path=path)
        host = self._name(self.target.host)
        async with self._session.get(url, headers={"Host": host}, allow_redirects=False) as response:
            return response.status == 200, await _read_bounded(response)  # noqa: PLR2004

    def _name(self, address: str) -> str:
        return f"[{address}]:{self.target.port}" if ":" in address else f"{address}:{self.target.port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, or nothing where it is longer than an answer can be."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES_AT_MOST:
            return b""
    return bytes(body)
