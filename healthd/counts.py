"""How far the counters of all replicas have gone on since the last look; a replica that starts again counts from 0."""

from collections.abc import Mapping
from dataclasses import dataclass

from healthd.observations import Observation, ReplicaSeen, ServiceSeen


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of all services between two looks."""

    pool_timeouts: int = 0
    errors_lost: int = 0

    def __add__(self, other: "Counted") -> "Counted":
        """Both together."""
        return Counted(self.pool_timeouts + other.pool_timeouts, self.errors_lost + other.errors_lost)


NOTHING = Counted()


class Counters:
    """Remembers what each replica said last. ``watched_seconds`` is for how long this healthd has looked."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], ReplicaSeen] = {}

    def advance(self, services: Mapping[str, Observation[ServiceSeen]], *, watched_seconds: float) -> Counted:
        """Count what grew since the last call; a replica older than our watch counts from its second look."""
        total = NOTHING
        for service, observation in services.items():
            for replica in observation.seen.live if observation.seen else ():
                total += self._since(self._last.get((service, replica.address)), replica, watched_seconds)
                self._last[service, replica.address] = replica
        return total

    def _since(self, last: ReplicaSeen | None, now: ReplicaSeen, watched_seconds: float) -> Counted:
        uptime = now.uptime_seconds
        if uptime is None or (last is None and uptime > watched_seconds):
            return NOTHING
        if last is None or uptime < (last.uptime_seconds or 0):
            return Counted(now.pool_timeouts, now.errors_lost)
        return Counted(
            max(0, now.pool_timeouts - last.pool_timeouts),
            max(0, now.errors_lost - last.errors_lost),
        )
