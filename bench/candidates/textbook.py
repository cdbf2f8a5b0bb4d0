"""
The handler of most tutorials: verify with the library, insert, publish, answer; one after the other for each request.

It is correct while nothing fails (the row is committed before the 200), which makes the comparison fair.
"""

import os
from collections.abc import Awaitable, Callable

import asyncpg
import nats
import stripe
from aiohttp import web
from nats.js import JetStreamContext

SCHEMA = "CREATE TABLE IF NOT EXISTS textbook_log (stripe_event_id text PRIMARY KEY, webhook_type text, body jsonb)"
STREAM = "TEXTBOOK"

Handler = Callable[[web.Request], Awaitable[web.Response]]

SECRET = web.AppKey("secret", str)
POOL: web.AppKey["asyncpg.Pool[asyncpg.Record]"] = web.AppKey("pool", asyncpg.Pool)
STREAM_CONTEXT = web.AppKey("stream", JetStreamContext)


async def receive(request: web.Request) -> web.Response:
    """Accept one webhook."""
    body = await request.read()
    try:
        event = stripe.Webhook.construct_event(body, request.headers.get("Stripe-Signature", ""), request.app[SECRET])
    except (ValueError, stripe.SignatureVerificationError):
        return web.Response(status=400)
    await store(request.app, event.id, event.type, body)
    return web.json_response({"received": True})


async def store(app: web.Application, event_id: str, event_type: str, body: bytes) -> None:
    """One row, then one message, each awaited."""
    await app[POOL].execute(
        "INSERT INTO textbook_log (stripe_event_id, webhook_type, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        event_id,
        event_type,
        body.decode(),
    )
    await app[STREAM_CONTEXT].publish(f"textbook.{event_type}", body, headers={"Nats-Msg-Id": event_id})


async def make_app(handler: Handler = receive) -> web.Application:
    """The application, connected."""
    app = web.Application()
    app[SECRET] = os.environ["STRIPE_WEBHOOK_SECRET"]
    app[POOL] = await asyncpg.create_pool(os.environ["DATABASE_URL"])
    await app[POOL].execute(SCHEMA)
    client = await nats.connect(os.environ["NATS_URL"])
    app[STREAM_CONTEXT] = client.jetstream()
    await app[STREAM_CONTEXT].add_stream(name=STREAM, subjects=["textbook.>"])
    app.router.add_post("/api/stripe-webhook", handler)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(os.environ["LISTEN_PORT"]), print=None)
