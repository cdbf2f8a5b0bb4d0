"""Report the work to people: metrics, log lines, and rows in ``error_logs``."""

import time
from collections import OrderedDict
from collections.abc import Collection

from processor import metrics
from processor.failures.classify import Blame
from processor.failures.error_summary import describe
from processor.failures.token_bucket import TokenBucket
from processor.outcome import Duplicate, Failed, Forged, MessageOutcome, Missing, Ping, Postponed, Settled, Work, word
from processor.worker.batch import Batch
from sluice.error_log.entry import Severity
from sluice.error_log.error_log import ErrorLog
from sluice.failures import Defect, MalformedEvent
from sluice.nats.jetstream import IncomingMessage
from sluice.payments.mentions import Mentions, mentions
from sluice.runtime.logs import get_logger

_REMEMBERED = 10_000


class Reporter:
    """Says each thing once, with ids and without personal data."""

    def __init__(self, errors: ErrorLog, known_types: Collection[str]) -> None:
        self._errors = errors
        self._log = get_logger().bind()  # a logger as it is got looks its configuration up for each line
        self._known_types = frozenset(known_types)
        metrics.expect(self._known_types)
        self._named: OrderedDict[str, None] = OrderedDict()
        self._throttle = TokenBucket(burst=50, per_second=5)
        self._strange = TokenBucket(burst=20, per_second=1 / 60)
        self._lost = TokenBucket(burst=1_000, per_second=1 / 60)
        self._forged_at: float | None = None

    @property
    def forged_age_seconds(self) -> float | None:
        """How long ago a message came that did not hold what its row holds; None: never since the start."""
        return None if self._forged_at is None else time.monotonic() - self._forged_at

    def answered(self, work: Work, result: MessageOutcome) -> None:
        """One message has its result, committed."""
        outcome = word(result.outcome) if isinstance(result, Settled) else type(result).__name__.lower()
        event_type = work.event.type if work.event.type in self._known_types else "other"
        metrics.outcome(event_type, outcome).inc()
        self._log.debug("event_processed", event_id=work.event_id, event_type=event_type, outcome=outcome)
        if isinstance(result, Settled):
            self._settled(work, result)
        elif isinstance(result, Missing):
            self._missing(work)
        elif isinstance(result, Forged):
            self._forged(work, result)
        elif isinstance(result, Failed) and result.is_dead:
            self._died(work, "failed", result.error)

    def failed(self, work: Work, result: Failed | Postponed | Duplicate, error: Exception) -> None:
        """One attempt is on record as failed, or as postponed; a death is told by ``answered``."""
        if isinstance(result, Duplicate) or (isinstance(result, Failed) and result.is_dead):
            return
        if isinstance(result, Postponed) and not result.is_first:
            return
        if not self._may_tell(self._throttle):
            return
        is_failed = isinstance(result, Failed)
        about = f"Attempt {result.attempt} of {work.event_id} failed" if isinstance(result, Failed) else work.event_id
        self._tell(
            work,
            f"{about}: {result.error}",
            severity="error" if is_failed else "warning",
            error=_without_values(error),
        )

    def transaction_failed(self, batch: Batch, error: Exception, whose: Blame) -> None:
        """One transaction was rolled back."""
        metrics.FAILURES.labels(whose.value).inc()
        self._log.warning("batch_failed", events=len(batch.works), blame=whose.value, error=describe(error))

    def runs_apart(self, handler: str, deed: str, for_seconds: float) -> None:
        """A handler held others up; from now on its events run apart from theirs."""
        self._log.warning("handler_runs_apart", handler=handler, deed=deed, for_seconds=for_seconds)
        self._errors.general(
            f"The handler {handler} {deed}; its events run apart from all others for {for_seconds:.0f} s."
        )

    def unreadable(self, message: IncomingMessage, error: Exception) -> None:
        """One message does not follow the contract; it stays in the stream, acknowledged."""
        metrics.UNREADABLE.inc()
        if self._is_new(f"sequence {message.sequence}") and self._may_tell(self._strange):
            text = f"Message {message.sequence} of the stream is outside the contract and was set aside"
            self._errors.webhook(text, severity="critical", error=error)

    def left_unacknowledged(self, batches: Collection[Batch]) -> None:
        """Time is up, or the service stops: these messages come again."""
        events = sum(len(batch.works) for batch in batches)
        if events:
            self._log.warning("messages_left", events=events)

    def _settled(self, work: Work, result: Settled) -> None:
        if result.delay_seconds is not None:
            metrics.DELAY_SECONDS.observe(max(0.0, result.delay_seconds))
            metrics.AGE_SECONDS.observe(max(0.0, time.time() - work.event.created))
        if isinstance(result.outcome, Ping) and work.event.tenant is None:
            metrics.LAST_PING.labels(work.event.mode).set(time.time())
        if result.is_dead:
            self._died(work, word(result.outcome), "this release cannot apply it")

    def _missing(self, work: Work) -> None:
        if not self._is_new(work.event_id):
            return
        metrics.MISSING.inc()
        if self._may_tell(self._lost):
            self._tell(
                work,
                f"{work.event_id} is in the stream but not in webhook_logs: PostgreSQL lost it. "
                f"It was not processed. {_cure(work)} Message {work.message.sequence} of the stream holds it.",
                severity="critical",
            )

    def _forged(self, work: Work, result: Forged) -> None:
        """Say whose row it was and what differed, never what the message held; a flood must not fill the table."""
        metrics.FORGED.inc()
        self._forged_at = time.monotonic()
        if self._is_new(f"forged {work.event_id}") and self._may_tell(self._strange):
            differing = ", ".join(result.differing)
            self._log.error("message_forged", event_id=work.event_id, differing=differing)
            self._errors.webhook(
                f"Message {work.message.sequence} of the stream does not hold what the row of {work.event_id} holds "
                f"({differing}). It was not run, and the row has its own effect. Find out who may publish to stripe.>.",
                severity="critical",
                stripe_event_id=work.event_id,
                request_data={"sequence": work.message.sequence, "subject": work.message.subject, "reason": differing},
            )

    def _may_tell(self, throttle: TokenBucket) -> bool:
        """Whether an error row is written now; those left out are counted."""
        if throttle.permits():
            return True
        metrics.ERRORS_SUPPRESSED.inc()
        self._errors.note_suppressed()
        return False

    def _died(self, work: Work, outcome: str, reason: str) -> None:
        metrics.DEAD.labels(outcome).inc()
        self._tell(work, f"{work.event_id} is dead ({outcome}): {reason}", severity="critical")

    def _tell(self, work: Work, message: str, *, severity: Severity = "error", error: Exception | None = None) -> None:
        named = _named(work)
        self._errors.webhook(
            message,
            severity=severity,
            error=error,
            stripe_event_id=work.event_id,
            event_id=named.events_id,
            user_id=named.user_id,
            request_data=_about(work),
        )

    def _is_new(self, name: str) -> bool:
        if name in self._named:
            return False
        self._named[name] = None
        if len(self._named) > _REMEMBERED:
            self._named.popitem(last=False)
        return True


def _without_values(error: Exception) -> Exception:
    """The same trace under a message that quotes nothing of the event."""
    return Defect(describe(error)).with_traceback((error.__cause__ or error).__traceback__)


def _named(work: Work) -> Mentions:
    """The ids of an error row; a body that is no JSON object names none."""
    try:
        payload = work.event.payload
    except MalformedEvent:
        payload = {}
    return mentions(payload, tenant=work.event.tenant)


def _cure(work: Work) -> str:
    """Say who can bring back a webhook that PostgreSQL lost."""
    if work.event.tenant is None:
        return "The reconciler records it again, if Stripe lists it."
    return "Its organiser must send it again: no key of ours lists that account."


def _about(work: Work) -> dict[str, str | int | None]:
    return {
        "event_type": work.event.type,
        "object_id": work.event.object_id,
        "account": work.event.account,
        "attempt": work.attempt + 1,
    }
