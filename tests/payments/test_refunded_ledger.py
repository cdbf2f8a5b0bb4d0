"""Partial captures in the ledger on a real PostgreSQL: what a refund may be survives being stored."""

from itertools import permutations

from tests.payments.harness import Harness
from tests.payments.history import NOON, PI, charge, intent, names, refund
from tests.payments.strategies import HARBOUR

OLD = "2025-02-24.acacia"


async def test_a_release_is_no_refund_whichever_event_comes_last(harness: Harness) -> None:
    """Each event in a batch of its own, so that the others are read from the ledger."""
    told = [
        intent("created", 0, metadata=names(HARBOUR)),
        charge("captured", 1, 1900, amount=4900, amount_captured=3000, api_version=OLD),
        refund("created", 1, refund_id="re_0", amount=1900, created=NOON + 1, api_version=OLD),
    ]
    real = refund("created", 5, refund_id="re_1", amount=500, created=NOON + 5, api_version=OLD)
    for order in permutations(told):
        await harness.wipe()
        await harness.apply_each(*order)
        assert await harness.shown() == ("paid", PI)
        await harness.apply_each(real)
        assert await harness.shown() == ("partially_refunded", PI)
