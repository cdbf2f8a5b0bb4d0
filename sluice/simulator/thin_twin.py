"""The thin event that a thin destination gets where another one gets a snapshot event. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from sluice.contract.document import Json, JsonObject, decode_object
from sluice.simulator.builder import SimulatedEvent
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe


def thin_twin(snapshot: SimulatedEvent, *, names_twin: bool = False) -> SimulatedEvent:
    """
    The same fact as a thin event: its type, its time, and which object it is about.

    Args:
        names_twin: it names the snapshot event as it comes; else only when Stripe is asked for it.
    """
    event = decode_object(snapshot.body)
    twin_id, twin_type = f"{snapshot.stripe_event_id}Thin", f"v1.{snapshot.type}"
    account = _account(event)
    body: dict[str, Json] = {
        "id": twin_id,
        "object": "v2.core.event",
        "type": twin_type,
        "created": datetime.fromtimestamp(snapshot.created, UTC).isoformat().replace("+00:00", "Z"),
        "livemode": event["livemode"],
        **({"context": account} if account else {}),
        **({"related_object": about} if (about := _about(event)) else {}),
        **({"snapshot_event": snapshot.stripe_event_id} if names_twin else {}),
    }
    return SimulatedEvent(twin_id, twin_type, snapshot.created, orjson.dumps(body))


def tell_both(stripe: OfflineStripe, snapshot: SimulatedEvent) -> None:
    """Let Stripe know of a fact in both forms; nothing is delivered."""
    stripe.happened(snapshot.body)
    stripe.happened_thinly(
        thin_twin(snapshot).body,
        snapshot_event=snapshot.stripe_event_id,
        account=_account(decode_object(snapshot.body)),
        created=snapshot.created,
    )


def _account(event: JsonObject) -> str | None:
    account = event.get("account")
    return account if isinstance(account, str) else None


def _about(event: JsonObject) -> dict[str, Json] | None:
    data = event.get("data")
    found = data.get("object") if isinstance(data, Mapping) else None
    if not isinstance(found, Mapping) or "id" not in found:
        return None
    name, kind = str(found["id"]), str(found["object"])
    return {"id": name, "type": kind, "url": f"/v1/{kind.replace('.', '/')}s/{name}"}
