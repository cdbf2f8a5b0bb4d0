"""A gateway that plays Sluice: it notes what arrives and answers what a test tells it to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Arrived:
    """One POST as the gateway saw it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeGateway:
    """Answers each POST with what ``replica_status`` says of it and of how many came before."""

    answer: Callable[[Arrived, int], int]
    url: str = ""
    arrived: list[Arrived] = field(default_factory=list)
    work_seconds: float = 0
    under_way: int = 0
    most_under_way: int = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Note the request, and how many are here at once."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.work_seconds)
        self.under_way -= 1
        one = Arrived(request.path, dict(request.headers), await request.read())
        status = self.answer(one, len(self.arrived))
        self.arrived.append(one)
        return web.Response(status=status, text="said so", headers={"Location": "/elsewhere"})


@asynccontextmanager
async def gateway(answer: Callable[[Arrived, int], int] = lambda _one, _before: 200) -> AsyncIterator[FakeGateway]:
    """A gateway on a free port of 127.0.0.1."""
    fake = FakeGateway(answer)
    app = web.Application()
    app.router.add_post("/{anything:.*}", fake.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()
