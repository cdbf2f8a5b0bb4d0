"""Report refused webhooks: bounded log lines, and an error row for those that Stripe did sign."""

from ingest.auth.signature import BadSignature
from ingest.errors import SecretUnusable
from ingest.rate_limited_log import RATE_LIMITED_LOG
from sluice.contract.document import JsonObject, decode_object
from sluice.error_log.error_log import ErrorLog
from sluice.failures import Failure, MalformedEvent
from sluice.payments.mentions import mentions
from sluice.runtime import logs

_SECRET_SECONDS = 3600.0
_HINT = (
    "With the Stripe CLI, run `stripe listen --print-secret` and put what it prints into .env as STRIPE_WEBHOOK_SECRET."
)


class Refusals:
    """Says to the operator why webhooks are refused; never what they contained."""

    def __init__(self, errors: ErrorLog, *, is_production: bool) -> None:
        self._errors = errors
        self._is_production = is_production

    def unverified(self, failure: Failure) -> None:
        """A stranger's request to the platform's URL: a line in the log, at most a few a second."""
        if isinstance(failure, BadSignature) and not self._is_production:
            RATE_LIMITED_LOG.warn("webhook_refused", code=failure.code, route="platform", hint=_HINT)
        else:
            RATE_LIMITED_LOG.warn("webhook_refused", code=failure.code, route="platform")

    def unverified_of(self, organiser: str, failure: Failure) -> None:
        """A stranger's request to an organiser's URL: within that organiser's own budget of lines."""
        RATE_LIMITED_LOG.warn_of(organiser, "webhook_refused", code=failure.code, route="tenant")

    def no_secret(self, organiser: str, fault: str) -> None:
        """An organiser's row holds something that is no webhook secret: a person should know which row, and why."""
        if not RATE_LIMITED_LOG.may_of(organiser, "organiser_secret_unusable", lines=1, seconds=_SECRET_SECONDS):
            return
        logs.get_logger().error("organiser_secret_unusable", tenant=organiser, reason=fault)
        self._errors.webhook(
            f"events.webhook_secret of the row {organiser} can be no webhook secret: {fault}.",
            event_id=organiser,
            request_data={"code": SecretUnusable.code, "tenant": organiser, "reason": fault},
        )

    def malformed(self, failure: Failure, body: bytes, *, verified_by: str, tenant: str | None) -> None:
        """Signed with a secret of ours, and still no event: a person should know."""
        kind = "webhook_malformed"
        if not (RATE_LIMITED_LOG.may(kind) if tenant is None else RATE_LIMITED_LOG.may_of(tenant, kind)):
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
        RATE_LIMITED_LOG.failed("journal_write_failed", error)
        if RATE_LIMITED_LOG.may("journal_error_rows", per_second=1):
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
