"""Hold a finding back until two looks agree, so that one lost packet makes no alarm. Pure: no clock, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from healthd.rules import NOTHING, Finding, Findings

LOOKS_THAT_CONVINCE = 2


@dataclass(frozen=True, slots=True)
class Debounced:
    """The findings that hold, and for how many looks in a row each one has been contradicted."""

    held: Findings = NOTHING
    contradicted: Mapping[Finding, int] = field(default_factory=dict)
    looks: int = 1

    @property
    def is_certain(self) -> bool:
        """Whether nothing is in doubt: neither a contradicted finding nor a first look that found something."""
        return not self.contradicted and (self.looks > 1 or not self.held)


def debounce(debounced: Debounced | None, found: Findings, *, looks: int = LOOKS_THAT_CONVINCE) -> Debounced:
    """After one more look: a finding comes or goes only when ``looks`` in a row say so; the first look is believed."""
    if debounced is None:
        return Debounced(held=found)
    doubts = {finding: debounced.contradicted.get(finding, 0) + 1 for finding in debounced.held ^ found}
    convinced = frozenset(finding for finding, count in doubts.items() if count >= looks)
    return Debounced(
        held=debounced.held ^ convinced,
        contradicted={finding: count for finding, count in doubts.items() if finding not in convinced},
        looks=debounced.looks + 1,
    )
