"""The timeline of a webhook: everything on record about it, in the order in which it happened. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from console.pages.webhook.record import Record


class Tone(StrEnum):
    """How a moment is to be taken."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened."""

    at: datetime
    told: str
    detail: str | None = None
    tone: Tone = Tone.PLAIN


def timeline(record: Record) -> Sequence[Moment]:
    """Order all moments of a webhook."""
    moments = [*_arrivals(record), *_work(record), *_errors(record), *_operations(record), *_views(record)]
    return sorted(moments, key=lambda moment: moment.at)


def _arrivals(record: Record) -> Iterator[Moment]:
    webhook = record.webhook
    if webhook.stripe_created_at is not None:
        yield Moment(webhook.stripe_created_at, "Stripe made the event")
    if record.found_by is not None:
        yield Moment(webhook.created_at, f"Recorded, because {record.found_by} found it at Stripe: it had not arrived")
    else:
        yield Moment(webhook.created_at, "Received and recorded", _verified(webhook.verified_by))
    for repeat in record.repeats:
        told = "Received again, with other bytes" if repeat.body_differs else "Received again"
        tone = Tone.WARN if repeat.body_differs else Tone.PLAIN
        yield Moment(repeat.received_at, told, _verified(repeat.verified_by), tone)
    if webhook.revived_at is not None:
        yield Moment(webhook.revived_at, "Began another life, because Stripe delivered it again")


def _work(record: Record) -> Iterator[Moment]:
    webhook = record.webhook
    if webhook.published_at is not None:
        yield Moment(webhook.published_at, f"Published, the newest of {webhook.publications}; not tried since")
    if webhook.parked_at is not None:
        yield Moment(webhook.parked_at, "Parked: the row of events that it names is not there", tone=Tone.WARN)
    if webhook.postponed_at is not None:
        yield Moment(webhook.postponed_at, "Postponed: others hold a lock that it needs", tone=Tone.WARN)
    if webhook.dead_at is not None:
        yield Moment(webhook.dead_at, "Died", webhook.last_error, Tone.BAD)
    if webhook.processed_at is not None:
        tone = Tone.GOOD if webhook.state == "processed" else Tone.WARN
        yield Moment(webhook.processed_at, f"Ended: {webhook.outcome or 'processed'}", tone=tone)
    is_waiting = webhook.processed_at is None and webhook.dead_at is None and webhook.published_at is None
    if is_waiting and webhook.next_attempt_at is not None:
        yield Moment(webhook.next_attempt_at, "Due for its next attempt", tone=Tone.WARN)


def _errors(record: Record) -> Iterator[Moment]:
    for error in record.errors:
        tone = Tone.PLAIN if error.severity == "info" else Tone.WARN if error.resolved else Tone.BAD
        told = f"{error.severity.capitalize()} {error.id}{', resolved' if error.resolved else ''}"
        yield Moment(error.created_at, told, error.message, tone)


def _operations(record: Record) -> Iterator[Moment]:
    for done in record.operations:
        told = f"Operation {done.operation_id}, {done.verb}, by {done.person}: {done.result or 'to come'}"
        yield Moment(done.done_at or done.started_at, told, done.reason)


def _views(record: Record) -> Iterator[Moment]:
    for view in record.views:
        yield Moment(view.viewed_at, f"{view.person} viewed the body")


def _verified(fingerprint: str | None) -> str | None:
    return None if fingerprint is None else f"verified by {fingerprint}"
