"""Ping a destination as Stripe does: a thin event, signed, sent to its address."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp
import orjson

from sluice.contract.document import JsonObject
from sluice.simulator.identity import Ids
from sluice.simulator.signature import sign
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

PING = "v2.core.event_destination.ping"
_SECONDS = 5.0


async def ping(stripe: OfflineStripe, destination: JsonObject) -> JsonObject:
    """Send a ping, and wait for its answer, which Stripe does not show; return the event."""
    now, name = int(stripe.clock()), str(destination["id"])
    event: JsonObject = {
        "id": Ids(f"{name}:{time.time_ns()}").make("evt"),
        "object": "v2.core.event",
        "type": PING,
        "created": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
        "livemode": bool(destination["livemode"]),
        "related_object": {
            "id": name,
            "type": "v2.core.event_destination",
            "url": f"/v2/core/event_destinations/{name}",
        },
    }
    body = orjson.dumps(event)
    stripe.happened_thinly(body, created=now)
    endpoint = destination.get("webhook_endpoint")
    if destination["status"] == "enabled" and isinstance(endpoint, Mapping):
        await _deliver(str(endpoint["url"]), body, stripe.destination_secrets[name])
    return event


async def _deliver(url: str, body: bytes, secret: str) -> None:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": sign(body, (secret,), timestamp=int(time.time())),
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            await response.read()
    except (aiohttp.ClientError, TimeoutError):
        return  # Stripe tries again later; this call does not wait for that
