"""The figures of the page Now, out of what healthd tells. Pure: a part that is missing shows as unknown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.web.health import Health
from console.web.rendering import NOTHING, number, seconds
from sluice.runtime.probes import JsonValue

_OLD_SECONDS = 300
_FULL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Figure:
    """One tile."""

    name: str
    value: str
    tone: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """The connections of one replica."""

    service: str
    address: str
    busy: str
    maximum: str
    waiters: str
    version: str
    problem: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The part of healthd's answer that the page shows."""

    status: str
    reasons: Sequence[str]
    tiles: Sequence[Figure]
    pools: Sequence[Pool]


UNKNOWN = Figures("unknown", ["healthd does not answer"], (), ())


def figures_of(health: Health | None) -> Figures:
    """Read healthd's answer."""
    if health is None:
        return UNKNOWN
    return Figures(
        status=str(health.get("status", "unknown")),
        reasons=[_reason(_object(one)) for one in _list(health.get("reasons"))],
        tiles=list(_tiles(health)),
        pools=list(_pools(health)),
    )


def _tiles(health: Health) -> Iterator[Figure]:
    webhooks = _object(health.get("webhooks"))
    more = "+" if webhooks.get("is_lower_bound") else ""
    oldest = _number(webhooks.get("oldest_unprocessed_age_seconds"))
    yield Figure("Oldest unprocessed", seconds(oldest), "warn" if (oldest or 0) > _OLD_SECONDS else "")
    yield _count("Backlog", webhooks.get("backlog"), "", "", more)
    yield _count("Failing", webhooks.get("failing"), "warn", "/trouble", more)
    yield _count("Parked", webhooks.get("parked"), "", "/trouble", more)
    yield _count("Dead", webhooks.get("dead"), "bad", "/trouble", more)
    connections = _object(health.get("connections"))
    used, most = _number(connections.get("used")), _number(connections.get("max"))
    is_full = bool(used and most and used > _FULL_SHARE * most)
    yield Figure("Connections", f"{number(used)} of {number(most)}", "warn" if is_full else "")


def _count(name: str, count: JsonValue, tone: str, href: str, more: str) -> Figure:
    known = _number(count)
    return Figure(
        name, NOTHING if known is None else f"{known:,.0f}{more}", tone if known else "", href if known else ""
    )


def _pools(health: Health) -> Iterator[Pool]:
    for service, told in sorted(_object(health.get("services")).items()):
        for replica in map(_object, _list(_object(told).get("replicas"))):
            pool = _object(replica.get("pool"))
            yield Pool(
                service,
                str(replica.get("address", "")),
                number(_number(pool.get("busy"))),
                number(_number(pool.get("max"))),
                number(_number(pool.get("waiters"))),
                str(replica.get("version") or NOTHING),
                _problem(replica),
            )


def _problem(replica: Mapping[str, JsonValue]) -> str:
    if problem := replica.get("problem"):
        return str(problem)
    if replica.get("draining"):
        return "draining"
    return "" if replica.get("ready") else "not ready"


def _reason(told: Mapping[str, JsonValue]) -> str:
    words = str(told.get("reason", "unknown")).replace("_", " ")
    return f"{words}: {told['service']}" if told.get("service") else words


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, Mapping) else {}


def _list(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, list) else ()


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
