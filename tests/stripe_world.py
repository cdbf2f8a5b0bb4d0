"""Events as they happen at an offline Stripe: a payment's life, or one bare event."""

import time
from collections.abc import Sequence

import orjson

from sluice.simulator.builder import SimulatedEvent, Subject
from sluice.simulator.catalog import SCENARIOS, play
from sluice.simulator.stripe_api.offline_stripe import Key, OfflineStripe

TEST_KEY = "rk_test_offline"
LIVE_KEY = "rk_live_offline"


def offline_stripe(*, now: float | None = None) -> OfflineStripe:
    """A Stripe with a key of each mode; its clock stands still at ``now``, or is ours."""
    return OfflineStripe([Key(TEST_KEY), Key(LIVE_KEY)], clock=time.time if now is None else lambda: now)


def bare_event(
    number: int, *, created: int, event_type: str = "payment_intent.created", account: str | None = None
) -> bytes:
    """One event of no scenario: ``evt_{number}`` about ``pi_{number}``, in test mode."""
    return orjson.dumps(
        {
            "id": f"evt_{number}",
            "object": "event",
            **({"account": account} if account else {}),
            "api_version": "2026-10-28.endive",
            "created": created,
            "data": {"object": {"id": f"pi_{number}", "object": "payment_intent", "created": created}},
            "livemode": False,
            "pending_webhooks": 1,
            "request": None,
            "type": event_type,
        }
    )


def run(scenario: str, *, seed: str, ends_at: int, subject: Subject | None = None) -> Sequence[SimulatedEvent]:
    """The events of one scenario."""
    return play(SCENARIOS[scenario], subject or Subject("a title"), seed=seed, ends_at=ends_at)
