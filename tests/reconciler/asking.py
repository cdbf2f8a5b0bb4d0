"""The reconciler's way to an offline Stripe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reconciler.budget import Budget
from reconciler.stripe_api import StripeApi, http_client
from sluice.simulator.stripe_api.offline_stripe import OfflineStripe
from sluice.simulator.stripe_api.server import serve
from tests.stripe_world import TEST_KEY

PLENTY = 10_000.0


@asynccontextmanager
async def asking(
    world: OfflineStripe,
    *,
    key: str | None = TEST_KEY,
    per_second: float = PLENTY,
    budget: Budget | None = None,
    request_seconds: float = 5,
) -> AsyncIterator[StripeApi]:
    """One mode's API as a service has it."""
    async with serve(world) as base, http_client(request_seconds=request_seconds) as http:
        yield StripeApi(
            http,
            mode="test",
            key=lambda: key,
            base=base,
            budget=budget or Budget(per_second),
            request_seconds=request_seconds,
        )
