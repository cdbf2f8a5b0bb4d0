"""Our endpoint at the offline Stripe: as `sluice doctor` wants it, pinged, and disabled for a while."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from devstack.options import ROOT
from devstack.service import service_environment
from devstack.wiring import StripeAccess
from reconciler.endpoint.public_url import endpoint_url
from sluice.contract.thin import PING
from sluice.ops.events import handled_types, is_preview
from sluice.payments.api_version import NEWEST
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe

ENDPOINT_ID = "we_1OfflineSluice"
DESTINATION_ID = "ed_1OfflineSluice"
_DOCTOR = (sys.executable, "-m", "sluice.ops", "doctor", "--fix", "--yes", "--without-url")


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


def is_enabled(stripe: OfflineStripe) -> bool:
    """Whether our endpoint is enabled there."""
    return stripe.endpoints[False][ENDPOINT_ID]["status"] == "enabled"


@asynccontextmanager
async def endpoint_disabled(stripe: OfflineStripe, access: StripeAccess) -> AsyncIterator[None]:
    """Have it disabled while the block lasts; then `sluice doctor --fix` finds that, and enables it."""
    stripe.endpoints[False][ENDPOINT_ID] = {**stripe.endpoints[False][ENDPOINT_ID], "status": "disabled"}
    yield
    await _run_doctor(access)


async def _run_doctor(access: StripeAccess) -> None:
    """A process of its own, as a person would start it; its exit code says what else there is to do."""
    environment = {
        **service_environment(os.environ),
        "APP_ENV": "development",
        "STRIPE_API_KEY": access.key,
        "STRIPE_API_BASE": access.base,
        "PUBLIC_URL": access.public_url,
    }
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        *_DOCTOR, cwd=ROOT, env=environment, stdin=quiet, stdout=quiet, stderr=quiet
    )
    try:
        await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
