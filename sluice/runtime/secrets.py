"""A secret that may change while we run, as a mounted one does when it is rotated."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sluice.runtime import logs, metrics

_LOOK_EVERY_SECONDS = 1.0
_AFRESH_SECONDS = 0.01
_FAILURES = metrics.counter(
    "secret_reload_failures_total", "Times that the file of a secret could not be read again.", ("name",)
)


class RotatingSecret:
    """
    The values of ``NAME``, or of the file that ``NAME_FILE`` names, separated by commas.

    The file is looked at when values are asked for, at most once a second; what cannot be read, or is empty, or is no
    secret, leaves the last good values in force.

    Args:
        fault_of: why a value can be no secret; None where it may be one.
    """

    def __init__(
        self,
        name: str,
        *,
        environment: Mapping[str, str] = os.environ,
        fault_of: Callable[[str], str | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._clock = clock
        self._fault_of = fault_of
        file = environment.get(f"{name}_FILE")
        self._path = Path(file) if file else None
        self._values = _split(environment.get(name, ""))
        self._seen: tuple[int, ...] | None = None
        self._look_again_at = float("-inf")
        _FAILURES.labels(name)  # shown as 0, so that the first failure is an increase

    def values(self) -> tuple[str, ...]:
        """The values in force, in order; empty where the secret is not configured."""
        if self._path is not None and self._clock() >= self._look_again_at:
            self._look(self._path)
        return self._values

    def values_afresh(self) -> tuple[str, ...]:
        """Look the secrets up again before a request is refused for them; at most a hundred times a second."""
        if self._path is not None and self._clock() >= self._look_again_at - _LOOK_EVERY_SECONDS + _AFRESH_SECONDS:
            self._look(self._path)
        return self._values

    def _look(self, path: Path) -> None:
        self._look_again_at = self._clock() + _LOOK_EVERY_SECONDS
        self._reload(path)

    def _reload(self, path: Path) -> None:
        try:
            facts = path.stat()
            seen = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
            if seen == self._seen:
                return
            values = _split(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            self._keep(type(error).__name__)
            return
        if not values:
            self._keep("empty")
            return
        for value in values:
            if (fault := self._fault_of(value)) is not None:
                self._keep(fault)
                return
        self._values, self._seen = values, seen

    def _keep(self, reason: str) -> None:
        _FAILURES.labels(self._name).inc()
        logs.get_logger().warning("secret_not_reloaded", name=self._name, reason=reason)


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for raw in text.split(",") if (part := raw.strip())))
