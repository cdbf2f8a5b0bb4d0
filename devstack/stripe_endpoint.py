"""Our endpoint at the offline Stripe, as `sluice doctor` wants it, and a thin destination that can be pinged."""

from datetime import UTC, datetime

from reconciler.endpoint.public_url import endpoint_url
from sluice.contract.thin import PING
from sluice.ops.events import handled_types, is_preview
from sluice.payments.api_version import NEWEST
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

ENDPOINT_ID = "we_1OfflineSluice"
DESTINATION_ID = "ed_1OfflineSluice"


def register_endpoint(stripe: OfflineStripe, public_url: str) -> None:
    """Register the gateway's URL, enabled, for the types of every handler that is installed here."""
    stripe.endpoints[False][ENDPOINT_ID] = {
        "id": ENDPOINT_ID,
        "object": "webhook_endpoint",
        "url": endpoint_url(public_url),
        "livemode": False,
        "status": "enabled",
        "enabled_events": [name for name in handled_types() if not is_preview(name)],
        "api_version": NEWEST,
        "created": int(stripe.clock()),
    }


def register_destination(stripe: OfflineStripe, public_url: str, secret: str) -> None:
    """Register the same URL for thin events, signed with this secret."""
    stripe.destination_secrets[DESTINATION_ID] = secret
    stripe.destinations[False][DESTINATION_ID] = {
        "id": DESTINATION_ID,
        "object": "v2.core.event_destination",
        "type": "webhook_endpoint",
        "webhook_endpoint": {"url": endpoint_url(public_url), "signing_secret": None},
        "livemode": False,
        "status": "enabled",
        "status_details": None,
        "enabled_events": [PING],
        "event_payload": "thin",
        "events_from": ["@self"],
        "snapshot_api_version": None,
        "created": datetime.fromtimestamp(stripe.clock(), UTC).isoformat(),
    }
