"""Measure the machine's other load: without it no figure means anything."""

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

_FLUSHES = 200
_FLUSH_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Flushes:
    """How long the disk took to make 8 kB durable, in milliseconds."""

    p50_ms: float
    p99_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True)
class Processor:
    """Ticks of all cores since the machine started: all of them, and those that its host gave to others."""

    total: int
    stolen: int

    @classmethod
    def read(cls) -> "Processor":
        """Now; nothing where there is no /proc."""
        try:
            first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
        except OSError:
            return cls(0, 0)
        ticks = [int(field) for field in first.split()[1:9]]
        return cls(sum(ticks), ticks[7])

    def stolen_percent_since(self, before: "Processor") -> float:
        """The share of time that the host gave to others."""
        return 100 * (self.stolen - before.stolen) / max(1, self.total - before.total)


def load_average() -> float:
    """Processes that wanted a core during the last minute."""
    return os.getloadavg()[0]


def probe_disk(folder: Path) -> Flushes:
    """Write and flush as PostgreSQL's log does."""
    path, took = folder / "flushes", []
    with path.open("wb", buffering=0) as file:
        for _ in range(_FLUSHES):
            began = time.perf_counter()
            file.write(b"\0" * _FLUSH_BYTES)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    path.unlink()
    return Flushes(statistics.median(took), sorted(took)[int(_FLUSHES * 0.99)], max(took))
