"""Why Stripe did not give what it was asked for, sorted by what the reconciler must do about it."""

from sluice.failures import Rejected, Unavailable


class StripeUnavailable(Unavailable):
    """Stripe did not answer, or not as it should."""

    code = "stripe_unavailable"


class RateLimited(StripeUnavailable):
    """Stripe takes no more requests at the moment."""

    code = "rate_limited"

    def __init__(self, *, retry_after_seconds: float | None = None, reason: str | None = None) -> None:
        super().__init__(f"Stripe takes no more requests at the moment ({reason or 'it does not say why'}).")
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason


class KeyMissing(Rejected):
    """No Stripe key is configured for this mode: set STRIPE_API_KEY or STRIPE_API_KEY_FILE."""

    code = "key_missing"


class KeyRefused(Rejected):
    """Stripe refuses the key: it is wrong, revoked or expired. Set another STRIPE_API_KEY."""

    code = "key_refused"


class RightMissing(Rejected):
    """The key lacks a right."""

    code = "right_missing"

    def __init__(self, right: str) -> None:
        super().__init__(f"The key lacks the right {right}: give it to the restricted key in Stripe's Dashboard.")
        self.right = right


class AccountClosed(Rejected):
    """The key has no access to this account: it was never connected, or has revoked its connection."""

    code = "account_closed"


class NotThere(Rejected):
    """Stripe knows no such thing, or not any more."""

    code = "not_there"


class NotUnderstood(Rejected):
    """Stripe refuses the request as wrong."""

    code = "not_understood"
