"""Faults at Stripe, or on the way there, that a test asks for."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sluice.simulator.stripe_api.answers import Refusal


@dataclass(frozen=True, slots=True)
class Fault:
    """One request goes wrong: refused, late, or cut off in the middle of its answer."""

    refusal: Refusal | None = None
    late_seconds: float = 0
    is_cut_off: bool = False


def too_many(*, retry_after_seconds: float | None = None, reason: str = "global-rate") -> Fault:
    """429, and why."""
    message = "Request rate limit exceeded."
    return Fault(Refusal(429, message, "rate_limit_error", "rate_limit", None, retry_after_seconds, reason))


def broken() -> Fault:
    """500."""
    return Fault(Refusal(500, "An unknown error occurred.", "api_error"))


@dataclass(slots=True)
class Faults:
    """The faults that are due, in order; one for each request that ``concerns``."""

    _due: deque[tuple[Fault, Callable[[str], bool]]] = field(default_factory=deque)
    _for_ever: tuple[Fault, Callable[[str], bool]] | None = None

    def add(self, faults: Iterable[Fault], *, path: str = "") -> None:
        """Let the next requests whose path contains ``path`` go wrong, one for each fault."""
        self._due.extend((fault, lambda asked: path in asked) for fault in faults)

    def hold(self, fault: Fault | None, *, path: str = "") -> None:
        """Let every such request go wrong from now on; None: no more."""
        self._for_ever = None if fault is None else (fault, lambda asked: path in asked)

    def next(self, path: str) -> Fault | None:
        """The fault of this request; None: it goes well."""
        if self._due and self._due[0][1](path):
            return self._due.popleft()[0]
        if self._for_ever is not None and self._for_ever[1](path):
            return self._for_ever[0]
        return None
