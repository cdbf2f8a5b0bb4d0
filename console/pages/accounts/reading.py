"""Read what arrives, from the newest webhooks alone: no size of the log makes it longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.postgres.pool import Connection
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "reading.sql")
LOOK_THROUGH = 20_000
"""Webhooks, and repeats of them, the newest."""
ERRORS = 5_000
_AT_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One account in one mode, as the reconciler knows it."""

    account: str
    livemode: bool
    complete_until: datetime
    passed_at: datetime | None
    missing: int
    oldest_missing: datetime | None
    filled: int
    refused: int
    problem: str | None
    problem_text: str | None
    problem_since: datetime | None
    is_listed: bool


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Webhooks from one place that one secret verified."""

    account: str | None
    livemode: bool | None
    organiser: str | None
    verified_by: str | None
    webhooks: int
    unprocessed: int
    dead: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Repeats:
    """Deliveries after the first that one secret verified."""

    verified_by: str
    repeats: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Named:
    """The row of an organiser."""

    name: str | None
    account: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal, and whom it concerns; without an organiser the platform."""

    organiser: str | None
    code: str
    count: int
    last_at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """
    All of it.

    Args:
        looked_back_to: older webhooks were not looked at; None: there are none.
    """

    reconciled: Sequence[Reconciled]
    arrivals: Sequence[Arrivals]
    repeats: Sequence[Repeats]
    names: Mapping[str, Named]
    refusals: Sequence[Refusal]
    looked_back_to: datetime | None


async def read_seen(connection: Connection) -> Seen:
    """Read it."""
    reconciled = await connection.fetch(QUERIES["reconciled"], _AT_MOST)
    arrivals = [Arrivals(**row) for row in await connection.fetch(QUERIES["arrivals"], LOOK_THROUGH, _AT_MOST)]
    repeats = await connection.fetch(QUERIES["repeats"], LOOK_THROUGH, _AT_MOST)
    refusals = [Refusal(**row) for row in await connection.fetch(QUERIES["refusals"], ERRORS, _AT_MOST)]
    organisers = {one.organiser for one in arrivals} | {one.organiser for one in refusals}
    names = await connection.fetch(QUERIES["names"], sorted(filter(None, organisers)))
    return Seen(
        [Reconciled(**row) for row in reconciled],
        arrivals,
        [Repeats(**row) for row in repeats],
        {row["key"]: Named(row["name"], row["account"]) for row in names},
        refusals,
        await connection.fetchval(QUERIES["looked_back_to"], LOOK_THROUGH),
    )
