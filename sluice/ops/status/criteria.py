"""
The five criteria that the project's founding document sets for the time after a deployment.

Each is pass, fail or unknown, judged by evidence that Sluice has; what nobody here can know is said to be unknown,
with the way to know it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sluice.ops.durations import as_words
from sluice.ops.status.evidence import Evidence

_CONNECTIONS = 100
_ACCEPTABLE_SECONDS = 3.0
_HEALTHY = 200
_TIMEOUTS = "postgres_pool_acquire_timeouts_total"
_LOST = ("error_log_dropped_total", "error_log_stderr_total", "webhook_error_rows_suppressed_total")


class Verdict(StrEnum):
    """Whether a criterion is fulfilled."""

    PASS = "pass"  # noqa: S105  a verdict, no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion, judged."""

    title: str
    verdict: Verdict
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
        return Criterion(title, Verdict.FAIL, f"{evidence.died:,} died, {evidence.failing:,} are failing now; {told}")
    if not evidence.received:
        return Criterion(
            title, Verdict.UNKNOWN, f"no webhook in {span}", "send some: `sluice send`, or wait for Stripe"
        )
    if (evidence.observed_seconds or 0) < evidence.window_seconds:
        seen = as_words(evidence.observed_seconds or 0)
        return Criterion(
            title, Verdict.UNKNOWN, f"none so far: {told}, in {seen} of {span}", "ask again when the time is over"
        )
    return Criterion(title, Verdict.PASS, f"none died, none is failing: {told}")


def _pools(evidence: Evidence) -> Criterion:
    title = "Pool metrics show a healthy distribution"
    pooled = [service for service in evidence.services if service.pool]
    told = (
        ", ".join(f"{s.name} {s.pool.get('busy', 0)} of {s.pool.get('max', 0)} busy" for s in pooled) or "no pool seen"
    )
    troubled = [s for s in pooled if s.metrics.get(_TIMEOUTS, 0) > 0 or s.pool.get("waiters", 0) > 0]
    if troubled:
        trouble = ", ".join(
            f"{s.name}: {s.metrics.get(_TIMEOUTS, 0):.0f} timeouts since its start, {s.pool.get('waiters', 0)} wait now"
            for s in troubled
        )
        return Criterion(title, Verdict.FAIL, f"{trouble}; {told}")
    if gap := _gap(evidence):
        to_know = f"max_over_time(postgres_pool_waiters[{evidence.window_seconds:.0f}s]) in Prometheus"
        return Criterion(title, Verdict.UNKNOWN, f"healthy now: {told}; {gap}", to_know)
    return Criterion(title, Verdict.PASS, f"no wait timed out since the services started, nobody waits: {told}")


def _errors(evidence: Evidence) -> Criterion:
    title = "All errors are logged to error_logs"
    lost = {s.name: sum(s.metrics.get(name, 0) for name in _LOST) for s in evidence.services}
    if evidence.died_in_silence:
        return Criterion(
            title, Verdict.FAIL, f"{evidence.died_in_silence:,} dead webhooks that no row of error_logs names"
        )
    if any(lost.values()):
        told = ", ".join(f"{name} {count:.0f}" for name, count in lost.items() if count)
        return Criterion(title, Verdict.FAIL, f"reports that went to stderr, were dropped or were too many: {told}")
    told = f"{evidence.reported:,} rows; each webhook that died is named in one"
    if gap := _gap(evidence):
        return Criterion(
            title, Verdict.UNKNOWN, f"{told}; {gap}", "increase(error_log_stderr_total[48h]) in Prometheus"
        )
    return Criterion(title, Verdict.PASS, f"{told}; no report was lost since the services started")


def _health(evidence: Evidence) -> Criterion:
    title = "The health endpoint returns 200 consistently"
    if evidence.health_url is None:
        return Criterion(title, Verdict.UNKNOWN, "its address is not known", "set GATEWAY_URL to the public address")
    if evidence.health_status != _HEALTHY:
        answer = "nothing" if evidence.health_status is None else str(evidence.health_status)
        return Criterion(title, Verdict.FAIL, f"{evidence.health_url} answers {answer} now")
    return Criterion(
        title,
        Verdict.UNKNOWN,
        f"{evidence.health_url} answers 200 now; Sluice keeps no history of its answers",
        'an outside monitor, or max_over_time(healthd_status{status="unhealthy"}[48h]) in Prometheus',
    )


def _load(evidence: Evidence) -> Criterion:
    title = f"Load test passes with {_CONNECTIONS} concurrent connections"
    test = evidence.load_test
    if test is None or test.connections < _CONNECTIONS:
        return Criterion(title, Verdict.UNKNOWN, "no such test is on record", f"`sluice send --burst {_CONNECTIONS}`")
    told = (
        f"{test.at:%Y-%m-%d %H:%M} UTC, {test.connections} at once: {test.accepted:,} of {test.sent:,} accepted, "
        f"the slowest in {test.slowest_seconds:.2f} s"
    )
    passed = test.accepted == test.sent and test.slowest_seconds < _ACCEPTABLE_SECONDS
    return Criterion(title, Verdict.PASS if passed else Verdict.FAIL, told)


def _gap(evidence: Evidence) -> str:
    """Why the counters of the services do not cover the whole time; empty where they do."""
    if silent := [service.name for service in evidence.services if service.problem is not None]:
        return f"nothing is known of {', '.join(silent)}"
    youngest = min((service.uptime_seconds for service in evidence.services), default=0)
    if youngest < evidence.window_seconds:
        return f"the services count since their start, {as_words(youngest)} ago"
    return ""
