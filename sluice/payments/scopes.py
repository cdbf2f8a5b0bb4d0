"""Scopes: which accounts' events may touch an ``events`` row; one account's never another's."""

from sluice.contract.event import PLATFORM

_PLATFORMS = (f"live:{PLATFORM}", f"test:{PLATFORM}")


def allowed_scopes(events_id: str, account: str | None) -> tuple[str, str, str]:
    """
    The scopes (``StripeEvent.scope``) whose payments a row shows.

    Args:
        events_id: the row's key as text.
        account: its ``stripe_account_id``; None or empty: the platform's own account.

    ``sluice_payment_scopes`` says the same in SQL; a test compares the two.
    """
    owner = account or PLATFORM
    return (f"tenant:{events_id}", f"live:{owner}", f"test:{owner}")


def is_platforms(scope: str) -> bool:
    """Whether events of this scope are the platform's own, not a connected account's or an organiser's."""
    return scope in _PLATFORMS
