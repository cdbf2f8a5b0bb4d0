"""Versions of Stripe's API: how an event of each is to be read, and which ones this release knows."""

import re
from datetime import date

NEWEST = "2026-10-28.endive"
"""The newest version that this release was made for."""
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})(\.|$)")
_NAMED = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.([a-z]+))?")
_BASIL = date(2025, 3, 31)
_FIRST_NAMED = date(2024, 9, 30)
_NAMES = frozenset({"acacia", "basil", "clover", "dahlia", "endive"})


def is_known(api_version: str) -> bool:
    """
    Whether this release knows how Stripe writes events of this version.

    Versions of one name differ in additions alone. Those from before the first name have none.

    Source: https://docs.stripe.com/api/versioning
    """
    read = _NAMED.fullmatch(api_version)
    if read is None:
        return False
    try:
        dated = date.fromisoformat(read[1])
    except ValueError:
        return False
    return dated < _FIRST_NAMED if read[2] is None else read[2] in _NAMES


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
