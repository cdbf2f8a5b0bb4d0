"""Our endpoint at the offline Stripe, as `sluice doctor` wants it."""

from reconciler.endpoint.public_url import endpoint_url
from sluice.ops.events import handled_types, is_preview
from sluice.payments.api_version import NEWEST
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

ENDPOINT_ID = "we_1OfflineSluice"


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
