"""aiohttp on uvloop that reads the body, answers 200 and does nothing: the most that this server can do."""

import os

import uvloop
from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    """Read, answer."""
    await request.read()
    return web.json_response({"received": True})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/api/stripe-webhook", receive)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(os.environ["LISTEN_PORT"]),
        print=None,
        access_log=None,
        loop=uvloop.new_event_loop(),
    )
