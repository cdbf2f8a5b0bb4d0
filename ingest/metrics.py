"""Metrics of ingest. No label can be made up by a stranger: ids never, types only those that Sluice knows."""

from collections.abc import Sequence
from functools import lru_cache

from sluice.payments.families import EVENT_TYPES
from sluice.runtime import metrics

ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

RECEIVED = metrics.counter(
    "webhook_events_received_total",
    "Webhooks answered 200, by type and by whether they were new (recorded) or known (duplicate).",
    ("event_type", "outcome"),
)
REFUSED = metrics.counter(
    "webhook_requests_refused_total", "Requests answered with anything but 200, by the code in the answer.", ("code",)
)
ANSWER_SECONDS = metrics.histogram(
    "webhook_answer_seconds", "From the head of a request to its answer, for webhooks answered 200."
)
VERIFIED = metrics.counter(
    "webhook_verified_total",
    "Signatures that matched, by the fingerprint of the secret (all organisers' are one: tenant).",
    ("verified_by",),
)
SECRET_IN_FORCE = metrics.gauge(
    "webhook_secret_in_force", "1 for each of the platform's secrets that may verify a webhook now.", ("verified_by",)
)
CLOCK_SKEW_SECONDS = metrics.gauge(
    "webhook_clock_skew_seconds", "Our clock less the time that Stripe signed, for the newest verified webhook."
)
BODY_DIFFERS = metrics.counter(
    "webhook_body_differs_total", "Known events that came again with another body; the first is kept."
)
REVIVED = metrics.counter(
    "webhook_revived_total", "Dead webhooks that came again, byte for byte, and are due once more."
)
CONNECTIONS = metrics.gauge("http_connections", "Open connections of clients.")
CONNECTIONS_CUT = metrics.counter(
    "http_connections_cut_total",
    "Connections closed on a client that was one too many, sent no request, read no answer, or made room for another.",
    ("reason",),
)
CLIENTS_LEFT = metrics.counter(
    "http_clients_left_total", "Clients that reset their connection, or left before they had all their answers."
)
OVER_SHARE = metrics.counter(
    "webhook_organiser_over_share_total",
    "Webhooks of organisers answered 503 because theirs held or used too much already, by what of.",
    ("resource",),
)
TENANT_LOOKUPS = metrics.counter(
    "webhook_tenant_lookups_total", "Reads of organisers' secrets from PostgreSQL.", ("outcome",)
)

JOURNAL_BATCH_ROWS = metrics.histogram("journal_batch_rows", "Webhooks in one write.", buckets=ROWS)
JOURNAL_WRITE_SECONDS = metrics.histogram("journal_write_seconds", "One write, from taking a connection to its commit.")
JOURNAL_QUEUE_ROWS = metrics.gauge("journal_queue_rows", "Webhooks that wait for the next write.")
JOURNAL_QUEUE_BYTES = metrics.gauge("journal_queue_bytes", "Bytes of the bodies that wait or are being written.")
JOURNAL_FAILURES = metrics.counter("journal_failures_total", "Writes that failed, and what followed.", ("followed_by",))

RELAY_PUBLISHED = metrics.counter(
    "relay_published_total", "Messages stored by JetStream, by why they were sent.", ("reason",)
)
RELAY_UNPUBLISHED = metrics.counter(
    "relay_unpublished_total", "Publications that did not happen; the sweep repairs them.", ("cause",)
)
RELAY_REPAIRS = metrics.counter(
    "relay_repairs_total",
    "Rows published again because their message was never stored (unsent), was lost (passed) or is overdue.",
    ("reason",),
)
RELAY_SWEEPS = metrics.counter("relay_sweeps_total", "Looks for rows that are due.", ("outcome",))
RELAY_BY_REFERENCE = metrics.counter(
    "relay_by_reference_total", "Messages sent without their body because it exceeds what NATS carries."
)

REFUSALS = frozenset(
    """
    bad_request body_timeout body_too_large client_gone database_unavailable defect failure future_timestamp
    invalid_signature malformed_event malformed_signature method_not_allowed missing_signature not_configured not_found
    not_recorded overloaded rejected secret_unreadable secret_unusable stale_timestamp timeout unavailable
    unknown_organiser unsupported_media_type
    """.split()  # noqa: SIM905  thirty quotes would hide the words
)

# An increase from nothing is no increase to Prometheus: what alerts and panels count starts at zero.
for _type in (*EVENT_TYPES, "other"):
    for _outcome in ("recorded", "duplicate"):
        RECEIVED.labels(_type, _outcome)
for _code in REFUSALS:
    REFUSED.labels(_code)
for _resource in ("requests", "bytes", "rows", "queue_bytes", "cpu", "refused_rows"):
    OVER_SHARE.labels(_resource)
for _reason in ("too_many", "silent", "deaf", "idle", "unfinished"):
    CONNECTIONS_CUT.labels(_reason)
for _reason in ("fresh", "due", "unsent", "passed", "overdue"):
    RELAY_PUBLISHED.labels(_reason)
for _reason in ("unsent", "passed", "overdue"):
    RELAY_REPAIRS.labels(_reason)
for _cause in ("away", "dropped", "too_late", "unavailable", "refused", "duplicate"):
    RELAY_UNPUBLISHED.labels(_cause)
for _followed_by in ("repetition", "halving", "refusal"):
    JOURNAL_FAILURES.labels(_followed_by)


@lru_cache(maxsize=256)
def received(event_type: str, *, is_new: bool) -> metrics.Counter:
    """Where to count a webhook that was answered 200; a type that Sluice has no name for is ``other``."""
    known = event_type if event_type in EVENT_TYPES else "other"
    return RECEIVED.labels(known, "recorded" if is_new else "duplicate")


@lru_cache(maxsize=64)
def verified(fingerprint: str) -> metrics.Counter:
    """Where to count a signature that matched; organisers' are counted together."""
    return VERIFIED.labels("tenant" if fingerprint.startswith("tenant:") else fingerprint)


def show_secrets(fingerprints: Sequence[str]) -> None:
    """Show these secrets of the platform's as those in force, and no others."""
    SECRET_IN_FORCE.clear()
    for one in fingerprints:
        SECRET_IN_FORCE.labels(one).set(1)


@lru_cache(maxsize=8)
def published(reason: str) -> metrics.Counter:
    """Where to count a message that JetStream stored."""
    return RELAY_PUBLISHED.labels(reason)
