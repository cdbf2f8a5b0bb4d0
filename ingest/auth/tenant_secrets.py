"""
The secrets of organisers who have a Stripe account of their own: ``events.webhook_secret``.

Look-ups go out like the journal's writes: one query at a time, for all who wait. So any number of invented ids costs
one connection at most, and the platform's own webhooks never wait for them. Organisers that were known before go first.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from ingest import metrics
from ingest.errors import SecretUnreadable, SecretUnusable, UnknownOrganiser
from ingest.rate_limited_log import RATE_LIMITED_LOG
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.sql import load_queries
from sluice.runtime.endless import turn
from sluice.webhook_secret import fault_of

_IDLE_SECONDS = 10.0
_QUERIES = load_queries(__file__, "tenant_secrets.sql")
_STRANGERS_AT_ONCE = 200
MOST_SECRETS = 5
"""Of one organiser: each costs every webhook that is not its own a verification."""


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """How long what was read is believed, in seconds, and how much of it is kept."""

    known_seconds: float = 60
    unknown_seconds: float = 10
    afresh_seconds: float = 1
    """A secret read longer ago than this is read again before a webhook is refused for its signature."""
    entries: int = 10_000
    waiting: int = 1_000
    query_seconds: float = 1.5


@dataclass(frozen=True, slots=True)
class TenantSecrets:
    """The secrets of one id in a URL."""

    tenant: str
    """``events.id`` as PostgreSQL writes it, whatever the URL's spelling."""
    secrets: tuple[str, ...]
    """Empty: there is no such row, or it has no secret."""
    read_at: float
    fault: str | None = None
    """Why what the row holds, or a part of it, can be no secret."""


class Tenants:
    """
    Secrets by the id in the URL, cached; see ``TenantLimits``.

    Args:
        on_fault: told of a row, and why what it holds can be no secret, each time that it is read.
    """

    def __init__(
        self,
        database: Database,
        *,
        on_fault: Callable[[str, str], None] = lambda _, __: None,
        limits: TenantLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._on_fault = on_fault
        self._limits = limits or TenantLimits()
        self._clock = clock
        self._known: OrderedDict[str, TenantSecrets] = OrderedDict()
        self._unknown: OrderedDict[str, TenantSecrets] = OrderedDict()
        self._waiting: dict[str, asyncio.Future[TenantSecrets]] = {}
        self._strangers: dict[str, asyncio.Future[TenantSecrets]] = {}
        self._wanted = asyncio.Event()

    def known(self, asked: str) -> str | None:
        """The row that an id in a URL names, as PostgreSQL writes it; None where no such row is in memory."""
        found = self._cached(asked)
        return None if found is None or not (found.secrets or found.fault) else found.tenant

    async def secrets(self, asked: str) -> TenantSecrets:
        """
        The secrets of an organiser, from memory or PostgreSQL; an expired one serves while PostgreSQL is away.

        Raises:
            UnknownOrganiser: no row, or no row with a secret, has this id.
            SecretUnusable: what the row holds can be no secret.
            SecretUnreadable: it is not in memory and cannot be read.
        """
        cached = self._cached(asked)
        if cached is not None and self._is_fresh(cached):
            return _with_secrets(cached)
        try:
            return _with_secrets(await self._read(asked))
        except SecretUnreadable:
            if cached is None or not cached.secrets:
                raise
            return cached

    async def afresh(self, seen: TenantSecrets, asked: str) -> TenantSecrets | None:
        """
        Read the secrets again, before a webhook is refused; None where ``seen`` was read just now.

        Raises:
            UnknownOrganiser, SecretUnusable, SecretUnreadable: as ``secrets``.
        """
        if self._clock() - seen.read_at < self._limits.afresh_seconds:
            return None
        return _with_secrets(await self._read(asked))

    async def run(self) -> None:
        """Read what is wanted, one query at a time, for ever."""
        while True:
            turn()
            with suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            waiting, self._waiting = self._waiting, {}
            for asked in list(islice(self._strangers, _STRANGERS_AT_ONCE)):
                waiting[asked] = self._strangers.pop(asked)
            if self._strangers:
                self._wanted.set()
            if waiting:
                await self._answer(waiting)

    def _cached(self, asked: str) -> TenantSecrets | None:
        for entries in (self._known, self._unknown):
            if (found := entries.get(asked)) is not None:
                entries.move_to_end(asked)
                return found
        return None

    def _is_fresh(self, entry: TenantSecrets) -> bool:
        believed = self._limits.known_seconds if entry.secrets else self._limits.unknown_seconds
        return self._clock() - entry.read_at < believed

    async def _read(self, asked: str) -> TenantSecrets:
        future = self._waiting.get(asked) or self._strangers.get(asked)
        if future is None:
            line = self._waiting if asked in self._known else self._strangers
            if len(line) >= self._limits.waiting:
                raise SecretUnreadable
            future = line[asked] = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return await asyncio.shield(future)

    async def _answer(self, waiting: Mapping[str, asyncio.Future[TenantSecrets]]) -> None:
        try:
            found = await self._query(list(waiting))
        except DATABASE_ERRORS as error:
            metrics.TENANT_LOOKUPS.labels("failed").inc(len(waiting))
            self._fail(waiting, error)
            return
        metrics.TENANT_LOOKUPS.labels("read").inc(len(waiting))
        for asked, future in waiting.items():
            entry = found.get(asked) or TenantSecrets(tenant=asked, secrets=(), read_at=self._clock())
            self._remember(asked, entry)
            if entry.fault is not None:
                self._on_fault(entry.tenant, entry.fault)
            if not future.done():
                future.set_result(entry)

    def _fail(self, waiting: Mapping[str, asyncio.Future[TenantSecrets]], error: BaseException) -> None:
        for future in waiting.values():
            if not future.done():
                future.set_exception(SecretUnreadable())
                future.exception()  # retrieved, even where the client has gone and no request asks
        RATE_LIMITED_LOG.failed("tenant_secret_unreadable", error)

    async def _query(self, asked: Sequence[str]) -> Mapping[str, TenantSecrets]:
        began = self._clock()
        rows = await self._database.fetch(_QUERIES["read_secrets"], asked, within_seconds=self._limits.query_seconds)
        return {row["asked"]: _entry(row["tenant"], row["secret"] or "", began) for row in rows}

    def _remember(self, asked: str, entry: TenantSecrets) -> None:
        kept, other = (self._known, self._unknown) if entry.secrets else (self._unknown, self._known)
        other.pop(asked, None)
        kept[asked] = entry
        kept.move_to_end(asked)
        if len(kept) > self._limits.entries:
            kept.popitem(last=False)


def _with_secrets(entry: TenantSecrets) -> TenantSecrets:
    if not entry.secrets:
        raise UnknownOrganiser if entry.fault is None else SecretUnusable
    return entry


def _entry(tenant: str, stored: str, read_at: float) -> TenantSecrets:
    parts = [part for raw in stored.split(",") if (part := raw.strip())]
    faults = [fault for part in parts if (fault := fault_of(part)) is not None]
    good = [part for part in parts if fault_of(part) is None]
    if len(good) > MOST_SECRETS:
        faults.append(f"it has more than {MOST_SECRETS} secrets, and the first {MOST_SECRETS} count")
    return TenantSecrets(tenant, tuple(good[:MOST_SECRETS]), read_at, next(iter(faults), None))
