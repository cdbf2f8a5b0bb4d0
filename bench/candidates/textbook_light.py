"""The textbook without its slowest call: the signature is checked, and the body read as plain JSON."""

import json
import os

import stripe
from aiohttp import web

from bench.candidates.textbook import SECRET, make_app, store


async def receive(request: web.Request) -> web.Response:
    """Accept one webhook."""
    body = await request.read()
    text = body.decode()
    try:
        stripe.WebhookSignature.verify_header(
            text, request.headers.get("Stripe-Signature", ""), request.app[SECRET], tolerance=300
        )
    except stripe.SignatureVerificationError:
        return web.Response(status=400)
    event = json.loads(text)
    await store(request.app, event["id"], event["type"], body)
    return web.json_response({"received": True})


if __name__ == "__main__":
    web.run_app(make_app(receive), host="127.0.0.1", port=int(os.environ["LISTEN_PORT"]), print=None)
