"""Publish the metrics and record the verdict after every look; log each change of the verdict."""

from collections.abc import Awaitable, Callable

from healthd import metrics
from healthd.health_state import HealthState
from healthd.rules import Status
from healthd.verdict import Verdict
from sluice.runtime import logs

Look = Callable[[], Awaitable[None]]


class ChangeNotifier:
    """Tells the metrics and the record after every look, and the log whenever the verdict changed."""

    def __init__(self, state: HealthState, note: Callable[[Verdict], None]) -> None:
        self._state = state
        self._note = note
        self._told: Verdict | None = None

    def after(self, look: Look) -> Look:
        """The look, and then what it changed."""

        async def look_and_tell() -> None:
            await look()
            self._tell(self._state.verdict())

        return look_and_tell

    def _tell(self, verdict: Verdict) -> None:
        metrics.publish(self._state)
        self._note(verdict)
        if verdict == self._told:
            return
        self._told = verdict
        level = logs.get_logger().info if verdict.status is Status.HEALTHY else logs.get_logger().warning
        reasons = [" ".join(filter(None, (finding.reason.value, finding.subject))) for finding in verdict.findings]
        level("health_changed", status=verdict.status.value, reasons=reasons)
