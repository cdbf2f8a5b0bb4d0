"""
From what was seen to what it means. Pure: no clock, no I/O.

``steady`` holds a finding back until two looks in a row agree, so that one lost packet makes no alarm. ``judge`` weighs
what is held; the worst finding decides.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from healthd.findings import Limits, about_nobody
from healthd.observations import Snapshot
from healthd.rules import NOTHING, Finding, Findings, Part, Reason, Status

LOOKS_THAT_CONVINCE = 2


def blind_spots(snapshot: Snapshot, now: float, limits: Limits) -> Findings:
    """What nobody has looked at for too long; asked anew for every answer, for a poller that hangs cannot tell."""
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
    return frozenset(found) | about_nobody(stale)


@dataclass(frozen=True, slots=True)
class Standing:
    """The findings that hold, and for how many looks in a row each one has been contradicted."""

    held: Findings = NOTHING
    contradicted: Mapping[Finding, int] = field(default_factory=dict)
    looks: int = 1

    @property
    def is_settled(self) -> bool:
        """Whether nothing is in doubt: neither a contradicted finding nor a first look that found something."""
        return not self.contradicted and (self.looks > 1 or not self.held)


def steady(standing: Standing | None, found: Findings, *, looks: int = LOOKS_THAT_CONVINCE) -> Standing:
    """After one more look: a finding comes or goes only when ``looks`` in a row say so; the first look is believed."""
    if standing is None:
        return Standing(held=found)
    doubts = {finding: standing.contradicted.get(finding, 0) + 1 for finding in standing.held ^ found}
    convinced = frozenset(finding for finding, count in doubts.items() if count >= looks)
    return Standing(
        held=standing.held ^ convinced,
        contradicted={finding: count for finding, count in doubts.items() if finding not in convinced},
        looks=standing.looks + 1,
    )


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
