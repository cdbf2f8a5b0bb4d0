"""
The five criteria that the project's founding document sets for the time after a deployment.

Each is pass, fail or unknown, judged by evidence that Sluice has; what cannot be known here is said to be unknown,
with the way to know it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sluice.ops.durations import as_words
from sluice.ops.status.evidence import Evidence

_CONNECTIONS = 100
_ACCEPTABLE_SECONDS = 3.0
_HEALTHY = 200
_REASONS_SHOWN = 3
_ASK_LATER = "ask again when healthd has recorded all of the time"
_TIMEOUTS = "postgres_pool_acquire_timeouts_total"
_LOST = ("error_log_dropped_total", "error_log_stderr_total", "webhook_error_rows_suppressed_total")


class Judgement(StrEnum):
    """Judgement of one criterion: fulfilled, not fulfilled, or not known."""

    PASS = "pass"  # noqa: S105  a verdict, no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion, judged."""

    title: str
    verdict: Judgement
    evidence: str
    to_know: str = ""
    """How an unknown becomes known."""


def judge(evidence: Evidence) -> Sequence[Criterion]:
    """All five, in the founding document's order."""
    return [_processing(evidence), _pools(evidence), _errors(evidence), _health(evidence), _load(evidence)]


def _processing(evidence: Evidence) -> Criterion:
    title = "Zero webhook processing failures"
    span = as_words(evidence.window_seconds)
    told = f"{evidence.received:,} received, {evidence.processed:,} processed"
    if evidence.recovered:
        told += f" ({evidence.recovered:,} of them not at the first attempt)"
    if evidence.died or evidence.failing:
        return Criterion(title, Judgement.FAIL, f"{evidence.died:,} died, {evidence.failing:,} are failing now; {told}")
    if not evidence.received:
        return Criterion(
            title, Judgement.UNKNOWN, f"no webhook in {span}", "send some: `sluice send`, or wait for Stripe"
        )
    if (evidence.observed_seconds or 0) < evidence.window_seconds:
        seen = as_words(evidence.observed_seconds or 0)
        return Criterion(
            title, Judgement.UNKNOWN, f"none so far: {told}, in {seen} of {span}", "ask again when the time is over"
        )
    return Criterion(title, Judgement.PASS, f"none died, none is failing: {told}")


def _pools(evidence: Evidence) -> Criterion:
    title = "Pool metrics show a healthy distribution"
    record, pooled = evidence.record, [service for service in evidence.services if service.pool]
    now = ", ".join(f"{s.name} {s.pool.get('busy', 0)} of {s.pool.get('max', 0)} busy" for s in pooled)
    told = f"; now {now}" if now else ""
    if record.pool_timeouts or record.exhausted_seconds:
        trouble = f"{record.pool_timeouts:,} waits timed out, a pool was exhausted for"
        return Criterion(title, Judgement.FAIL, f"{trouble} {as_words(record.exhausted_seconds)}{told}")
    if exhausted := [s.name for s in pooled if s.pool.get("waiters", 0) and s.pool["busy"] >= s.pool["max"]]:
        return Criterion(title, Judgement.FAIL, f"exhausted now: {', '.join(exhausted)}{told}")
    return _by_counters(title, evidence, (_TIMEOUTS,), "waits that timed out", "no wait timed out", told)


def _errors(evidence: Evidence) -> Criterion:
    title = "All errors are logged to error_logs"
    if evidence.died_in_silence:
        return Criterion(
            title, Judgement.FAIL, f"{evidence.died_in_silence:,} dead webhooks that no row of error_logs names"
        )
    if lost := evidence.record.errors_lost:
        return Criterion(title, Judgement.FAIL, f"{lost:,} reports went to stderr, were dropped or were too many")
    told = f"; {evidence.reported:,} rows, each webhook that died is named in one"
    return _by_counters(title, evidence, _LOST, "reports that were lost", "no report was lost", told)


def _by_counters(title: str, evidence: Evidence, counters: Sequence[str], bad: str, good: str, told: str) -> Criterion:
    """By healthd's record where it is whole; else by what the services count since their start, if that is the time."""
    if evidence.record.is_whole:
        return Criterion(title, Judgement.PASS, f"{good}{told}")
    counted = {s.name: sum(s.metrics.get(name, 0) for name in counters) for s in evidence.services}
    young = [s.name for s in evidence.services if s.uptime_seconds <= evidence.window_seconds]
    if recent := [f"{name} {count:.0f}" for name, count in counted.items() if count and name in young]:
        return Criterion(title, Judgement.FAIL, f"{bad}: {', '.join(recent)}{told}")
    is_known = evidence.services and not young and all(s.problem is None for s in evidence.services)
    if is_known and not any(counted.values()):
        return Criterion(title, Judgement.PASS, f"{good} since the services started{told}")
    return Criterion(title, Judgement.UNKNOWN, f"{_gap(evidence)}{told}", _ASK_LATER)


def _health(evidence: Evidence) -> Criterion:
    title = "The health endpoint returns 200 consistently"
    record = evidence.record
    if record.red_since is not None:
        why = f" ({', '.join(record.red_reasons[:_REASONS_SHOWN])})" if record.red_reasons else ""
        return Criterion(
            title, Judgement.FAIL, f"503 for {as_words(record.red_seconds)}, first at {_moment(record.red_since)}{why}"
        )
    if evidence.health_url is not None and evidence.health_status != _HEALTHY:
        answer = "nothing" if evidence.health_status is None else str(evidence.health_status)
        return Criterion(title, Judgement.FAIL, f"{evidence.health_url} answers {answer} now")
    if not record.is_whole:
        return Criterion(title, Judgement.UNKNOWN, f"never 503 on record; {_gap(evidence)}", _ASK_LATER)
    return Criterion(title, Judgement.PASS, f"200 in all of {record.stretches:,} recorded stretches, without a gap")


def _load(evidence: Evidence) -> Criterion:
    title = f"Load test passes with {_CONNECTIONS} concurrent connections"
    test, span = evidence.load_test, as_words(evidence.window_seconds)
    how = f"`sluice send --burst {_CONNECTIONS}`"
    if test is None:
        return Criterion(title, Judgement.UNKNOWN, "no load test is on record", how)
    told = (
        f"{_moment(test.at)}, {test.connections} at once: {test.accepted:,} of {test.sent:,} accepted, "
        f"the slowest in {test.slowest_seconds:.2f} s"
    )
    if not test.is_recent:
        return Criterion(title, Judgement.UNKNOWN, f"none in {span}; the newest: {told}", how)
    if test.connections < _CONNECTIONS:
        return Criterion(title, Judgement.UNKNOWN, f"too few connections: {told}", how)
    passed = test.accepted == test.sent and test.slowest_seconds < _ACCEPTABLE_SECONDS
    return Criterion(title, Judgement.PASS if passed else Judgement.FAIL, told)


def _gap(evidence: Evidence) -> str:
    """Of which time healthd recorded nothing."""
    record = evidence.record
    if not record.stretches:
        return "healthd has recorded nothing in that time"
    since = f", first from {_moment(record.gap_since)}" if record.gap_since else ""
    return f"healthd recorded nothing for {as_words(record.gap_seconds)}{since}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
