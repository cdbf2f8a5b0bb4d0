"""What is said of webhooks that were refused: bounded log lines, and an error row for those that Stripe did sign."""

from ingest.notices import NOTICES
from ingest.verify import BadSignature
from sluice.chassis.error_log import ErrorLog
from sluice.contract.document import JsonObject, decode_object
from sluice.failures import Failure, MalformedEvent
from sluice.payments.mentions import mentions

_HINT = (
    "With the Stripe CLI, run `stripe listen --print-secret` and put what it prints into .env as STRIPE_WEBHOOK_SECRET."
)


class Refusals:
    """Says why webhooks are refused, to whoever runs this; never what they contained."""

    def __init__(self, errors: ErrorLog, *, is_production: bool) -> None:
        self._errors = errors
        self._is_production = is_production

    def unverified(self, failure: Failure, *, is_platform: bool) -> None:
        """A stranger's request: a line in the log, at most a few a second."""
        route = "platform" if is_platform else "tenant"
        if is_platform and isinstance(failure, BadSignature) and not self._is_production:
            NOTICES.warn("webhook_refused", code=failure.code, route=route, hint=_HINT)
        else:
            NOTICES.warn("webhook_refused", code=failure.code, route=route)

    def malformed(self, failure: Failure, body: bytes, *, verified_by: str, tenant: str | None) -> None:
        """Signed with a secret of ours, and still no event: a person should know."""
        if not NOTICES.may("webhook_malformed"):
            return
        named = mentions(_payload(body), tenant=tenant)
        self._errors.webhook(
            f"A webhook signed with the secret {verified_by} is malformed: {failure}",
            event_id=named.events_id,
            user_id=named.user_id,
            request_data={"code": failure.code, "tenant": tenant},
        )

    def not_written(self, error: Exception) -> None:
        """PostgreSQL did not take a write of the journal; Stripe was told to come again."""
        NOTICES.failed("journal_write_failed", error)
        if NOTICES.may("journal_error_rows", per_second=1):
            self._errors.database(
                f"Webhooks could not be recorded and were answered 503: {type(error).__name__}",
                severity="high",
                request_data={"sqlstate": getattr(error, "sqlstate", None)},
            )


def _payload(body: bytes) -> JsonObject:
    """The body where it is a JSON object, however malformed as an event; else nothing."""
    try:
        return decode_object(body)
    except MalformedEvent:
        return {}
