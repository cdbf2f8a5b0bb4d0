"""Read an event by its ``api_version``."""

import re
from datetime import date

_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})(\.|$)")
_BASIL = date(2025, 3, 31)


def tells_releases_as_refunds(api_version: str | None) -> bool:
    """
    Whether an event of this version tells of the release of a hold as of a refund: before ``2025-03-31.basil``.

    Stripe leaves the version out of events from before 2014-10-31 alone, so without one an event is old; a version that
    is no date is of a time to come.

    Source: https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow
    """
    if api_version is None:
        return True
    dated = _DATED.match(api_version)
    try:
        return dated is not None and date.fromisoformat(dated[1]) < _BASIL
    except ValueError:
        return False
