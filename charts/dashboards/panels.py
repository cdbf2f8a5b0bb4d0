"""The parts of a dashboard, without Grafana's words; sizes are in its grid of 24 columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

ONE = 'namespace="$namespace", job=~"$job"'
"""The series of one Sluice."""
PODS = f'{ONE}, pod=~"$pod"'
"""The series of its replicas that are chosen; healthd tells of others, so its own pod says nothing about them."""


class Colour(Enum):
    """A figure's meaning, as a colour."""

    GOOD = "green"
    NEUTRAL = "blue"
    LOOK = "yellow"
    UNCLEAR = "orange"
    BAD = "red"


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus and the name of each line of the answer."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Level:
    """From here on a figure has this colour."""

    at: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class State:
    """A value's meaning, in words."""

    value: int
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture; ``description`` says what to do, ``runbook`` is the section that says more."""

    title: str
    description: str
    runbook: str
    queries: Sequence[Query]
    unit: str
    levels: Sequence[Level] = ()
    states: Sequence[State] = ()
    decimals: int | None = None
    width: int = 8
    height: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Panel):
    """One number, large, with its history behind it."""

    without_data: str = "no data"
    width: int = 3
    height: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Panel):
    """Lines over time; levels are drawn as lines too."""

    stacked: bool = False
    colours: Mapping[str, Colour] | None = None
    """Of lines whose names are known beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Panel):
    """A bar for each line, coloured by its state."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One page."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    chooses_pods: bool
    shows_hours: int


def rate(metric: str, *, where: str = ONE, by: str = "") -> str:
    """How often a counter counts in a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{where}}}[$__rate_interval]))"


def each_minute(metric: str, *, where: str = ONE, by: str = "") -> str:
    """How often in a minute, for what is rare."""
    return f"60 * {rate(metric, where=where, by=by)}"


def quantile(share: float, histogram: str, *, where: str = ONE, by: str = "") -> str:
    """The query for the value that this share of the values stayed below."""
    buckets = rate(f"{histogram}_bucket", where=where, by=f"{by}, le" if by else "le")
    return f"histogram_quantile({share}, {buckets})"


def half_and_most(histogram: str, *, where: str = ONE) -> Sequence[Query]:
    """The usual case and the bad one."""
    return (Query(quantile(0.5, histogram, where=where), "p50"), Query(quantile(0.99, histogram, where=where), "p99"))


def newest(metric: str, *, where: str = ONE, by: str = "") -> str:
    """A gauge; several healthd say the same, so their maximum is taken, never their sum."""
    return f"max{f' by ({by})' if by else ''} ({metric}{{{where}}})"
