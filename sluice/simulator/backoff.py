"""
When Stripe tries a webhook again that was not answered 2xx.

Stripe retries for three days with growing pauses and does not state them; the first repeat that people observe comes
after about an hour. The simulator keeps that shape and lets hours pass in a fraction of a second.
"""

from collections.abc import Sequence

HOURS_BETWEEN_ATTEMPTS = (1, 2, 4, 8, 12, 12, 12, 12)
SECONDS_FOR_AN_HOUR = 0.25


def pauses(*, seconds_for_an_hour: float = SECONDS_FOR_AN_HOUR) -> Sequence[float]:
    """Seconds to wait before each repeat; after the last one Stripe gives up."""
    return [hours * seconds_for_an_hour for hours in HOURS_BETWEEN_ATTEMPTS]
