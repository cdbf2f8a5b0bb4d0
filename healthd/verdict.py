"""
Judge the findings that hold: the worst one decides. Pure: no clock, no I/O.

``healthd/debounce.py`` says which findings hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from healthd.findings import Limits, without_subject
from healthd.observations import Snapshot
from healthd.rules import Finding, Findings, Part, Reason, Status


def blind_spots(snapshot: Snapshot, now: float, limits: Limits) -> Findings:
    """Find the sources not looked at for too long; computed for every answer, for a hanging poller reports nothing."""
    found = {
        Finding(Reason.SERVICE_UNKNOWN, name)
        for name, service in snapshot.services.items()
        if service.is_stale(now, after_seconds=limits.stale_seconds)
    }
    if not snapshot.services:
        found.add(Finding(Reason.NO_TARGETS))
    watched = (
        (snapshot.database.is_stale, Reason.DATABASE_UNKNOWN),
        (snapshot.webhooks.is_stale, Reason.WEBHOOKS_UNKNOWN),
        (snapshot.schema.is_stale, Reason.SCHEMA_UNKNOWN),
        *(((snapshot.stream.is_stale, Reason.STREAM_UNKNOWN),) if snapshot.has_stream else ()),
    )
    stale = {reason for is_stale, reason in watched if is_stale(now, after_seconds=limits.stale_seconds)}
    return frozenset(found) | without_subject(stale)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole, and what it rests on."""

    status: Status
    findings: tuple[Finding, ...]

    def of(self, part: Part, subject: str = "") -> Status:
        """The status of one part."""
        about = (f for f in self.findings if f.rule.part is part and f.subject in ("", subject))
        return _worst(finding.rule.shown for finding in about)

    @property
    def is_serving(self) -> bool:
        """Whether a monitor should be at ease: healthy or degraded."""
        return self.status.weight <= Status.DEGRADED.weight


def judge(findings: Findings) -> Verdict:
    """The worst finding decides; none at all is healthy."""
    return Verdict(_worst(finding.overall for finding in findings), tuple(sorted(findings)))


def _worst(statuses: Iterable[Status]) -> Status:
    return max(statuses, key=lambda status: status.weight, default=Status.HEALTHY)
