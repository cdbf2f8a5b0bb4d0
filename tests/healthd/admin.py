"""Admin ports to look at: well ones, hanging ones, and such as say nonsense."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUS: Mapping[str, object] = {
    "service": "ingest",
    "version": "1.2.3",
    "uptime_seconds": 4.5,
    "ready": True,
    "draining": False,
    "checks": {"configured": True},
    "pool": {"size": 3, "idle": 1, "busy": 2, "max": 8, "waiters": 0},
    "stream": {"connected": True, "generation": 1},
    "configuration": {"stripe_webhook_secret": "ok", "stripe_secret_key": "ok"},
}


class Admin:
    """One replica's admin port; tests change what it says while it runs."""

    def __init__(self) -> None:
        self.status: object = dict(STATUS)
        self.is_hanging = False
        self.delay_seconds = 0.0
        self.is_live = True
        self.asked: list[str] = []
        self.asking_now = 0
        self.most_at_once = 0
        self.let_go = asyncio.Event()

    async def livez(self, request: web.Request) -> web.StreamResponse:
        """Answer as a kubelet expects."""
        self.asked.append(request.headers["Host"])
        self.asking_now += 1
        self.most_at_once = max(self.most_at_once, self.asking_now)
        try:
            if self.is_hanging:
                await self.let_go.wait()
            await asyncio.sleep(self.delay_seconds)
        finally:
            self.asking_now -= 1
        return web.Response(status=200 if self.is_live else 500, text="ok")

    async def report(self, _: web.Request) -> web.StreamResponse:
        """The JSON that every service gives of itself, or whatever the test put there."""
        if isinstance(self.status, bytes):
            return web.Response(body=self.status)
        return web.json_response(self.status)


def application(admin: Admin) -> web.Application:
    """Its two pages."""
    app = web.Application()
    app.router.add_get("/livez", admin.livez)
    app.router.add_get("/status", admin.report)
    return app


@asynccontextmanager
async def serving(admin: Admin, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """The port on which this replica answers, for as long as the block lasts."""
    runner = web.AppRunner(application(admin), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        admin.let_go.set()
        await runner.cleanup()
