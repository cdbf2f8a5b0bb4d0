"""Registrations as Stripe's two lists give them, and what is needed."""

from datetime import UTC, datetime

from reconciler.endpoint.audit import Needed
from sluice.contract.document import Json, JsonObject
from sluice.payments.families import EVENT_TYPES
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

HOST = "https://pay.example"
URL = f"{HOST}/api/stripe-webhook"
CREATED = 1_790_000_000
TYPES = frozenset(name for name, known in EVENT_TYPES.items() if not known.is_preview)
NEEDED = Needed(URL, livemode=False, types=TYPES)


def endpoint(name: str = "we_1", *, types: frozenset[str] = TYPES, **changes: Json) -> JsonObject:
    """An entry of ``/v1/webhook_endpoints`` with which everything is well."""
    return {
        "id": name,
        "object": "webhook_endpoint",
        "url": URL,
        "livemode": False,
        "status": "enabled",
        "enabled_events": sorted(types),
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        **changes,
    }


def destination(name: str = "ed_1", *, types: frozenset[str] = TYPES, **changes: Json) -> JsonObject:
    """An entry of ``/v2/core/event_destinations``: a thin one with which everything is well."""
    return {
        "id": name,
        "object": "v2.core.event_destination",
        "type": "webhook_endpoint",
        "webhook_endpoint": {"url": URL, "signing_secret": None},
        "livemode": False,
        "status": "enabled",
        "status_details": None,
        "enabled_events": sorted(f"v1.{one}" for one in types),
        "event_payload": "thin",
        "events_from": ["@self"],
        "snapshot_api_version": None,
        "created": datetime.fromtimestamp(CREATED, UTC).isoformat(),
        **changes,
    }


def register(world: OfflineStripe, *entries: JsonObject) -> None:
    """Put entries into the list of their kind and mode, in place of those of the same id."""
    for entry in entries:
        lists = world.endpoints if entry["object"] == "webhook_endpoint" else world.destinations
        lists[bool(entry["livemode"])][str(entry["id"])] = entry
