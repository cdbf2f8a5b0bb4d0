"""The versions that this release knows are those of the library that it is made with."""

import stripe

from sluice.payments.api_version import NEWEST, is_known


def test_the_newest_version_is_the_librarys() -> None:
    """An upgrade of the library asks which names are new, and what they change."""
    assert stripe.api_version == NEWEST
    assert is_known(NEWEST)
