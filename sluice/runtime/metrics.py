"""Metrics: the only module that knows prometheus_client. Each service names its own in ``<service>/metrics.py``."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "Counter", "Gauge", "Histogram", "counted", "counter", "gauge", "histogram", "render"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_REGISTRY = CollectorRegistry(auto_describe=True)
_KNOWN: dict[str, Counter | Gauge | Histogram] = {}
_M = TypeVar("_M", Counter, Gauge, Histogram)

disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=_REGISTRY)
PlatformCollector(registry=_REGISTRY)
GCCollector(registry=_REGISTRY)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def counter(name: str, help: str, labels: Sequence[str] = ()) -> Counter:  # noqa: A002  Prometheus' own word
    """A number that only grows; its name ends in ``_total``."""
    return _remember(name, Counter, lambda: Counter(name, help, labels, registry=_REGISTRY))


def gauge(name: str, help: str, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002
    """A number that goes up and down."""
    return _remember(name, Gauge, lambda: Gauge(name, help, labels, registry=_REGISTRY))


def histogram(name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS) -> Histogram:  # noqa: A002
    """How often values fell below each of the bounds in ``buckets``."""
    return _remember(name, Histogram, lambda: Histogram(name, help, labels, buckets=buckets, registry=_REGISTRY))


def counted(name: str, help: str, count: Callable[[], int]) -> None:  # noqa: A002
    """A number that only grows and is counted elsewhere: where a metric's own lock may not be taken."""
    _REGISTRY.register(_Counted(name, help, count))


class _Counted(Collector):
    def __init__(self, name: str, help: str, count: Callable[[], int]) -> None:  # noqa: A002
        self._name = name
        self._help = help
        self._count = count

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._help, value=self._count())


def render() -> bytes:
    """Every metric of this process in Prometheus' text format."""
    return generate_latest(_REGISTRY)


def _remember(name: str, kind: type[_M], make: Callable[[], _M]) -> _M:
    """The metric of that name; a module that tests import twice gets the first one again."""
    known = _KNOWN.setdefault(name, _KNOWN[name] if name in _KNOWN else make())
    if not isinstance(known, kind):
        raise TypeError(f"{name} is a {type(known).__name__} already")
    return known
