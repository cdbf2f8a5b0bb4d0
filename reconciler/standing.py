"""How far each account is known to be complete: the watermark and the pass under way, kept in PostgreSQL."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from reconciler.accounts import Account
from reconciler.lease import LeaseLost
from reconciler.listed import ListedPage
from reconciler.record import Filled
from sluice.failures import Failure
from sluice.postgres.pool import Connection, Database, Record
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "standing.sql")


@dataclass(frozen=True, slots=True)
class Pass:
    """
    One walk through an account's list, from the newest event back to where it was complete before.

    Times are whole seconds by Stripe's clock.
    """

    begins_at: int
    """Everything created from then on is listed."""
    until: int | None = None
    """When it began: what Stripe made before is here once it ends. None: nothing was asked yet."""
    cursor: str | None = None
    """The last id of the page before."""
    newest_id: str | None = None
    listed: int = 0
    missing: int = 0
    """Events that were not in the log, so far."""
    refused: int = 0
    """Of these, those that could not be recorded."""
    oldest_missing: int | None = None
    """When the oldest of the missing was created."""

    def after(self, page: ListedPage, filled: Filled) -> "Pass":
        """The same pass, one page further."""
        refused = len(page.refused) + len(filled.refused)
        missing_at = [event.created for event in filled.new]
        missing_at += [] if self.oldest_missing is None else [self.oldest_missing]
        first_id = page.events[0].stripe_event_id if page.events else None
        return replace(
            self,
            until=page.said_at if self.until is None else self.until,
            cursor=page.last_id,
            newest_id=self.newest_id or first_id,
            listed=self.listed + page.listed,
            missing=self.missing + len(filled.new) + refused,
            refused=self.refused + refused,
            oldest_missing=min(missing_at, default=None),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """One account's state."""

    complete_until: int
    """Whatever Stripe created before is in the log; seconds by Stripe's clock."""
    under_way: Pass | None
    """A pass that was begun and has not ended."""

    def next_pass(self, *, overlap_seconds: int) -> Pass:
        """The pass under way, or a new one that begins a little before the watermark, for events that appear late."""
        return self.under_way or Pass(begins_at=max(0, self.complete_until - overlap_seconds))


class Ended(NamedTuple):
    """How an account stands after a pass."""

    complete_until: int
    refused: int
    """Events that could not be recorded, now or before, and are not in the log."""
    open_since: int | None
    """When the first of them was refused, in seconds; None: there is none."""


class Standings:
    """Reads and writes ``reconcile_account``; every step in the name of the lease's holder."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    async def known_accounts(self) -> Collection[str]:
        """Connected accounts that the database knows."""
        return [row["account"] for row in await self._database.fetch(QUERIES["connected_accounts"])]

    async def expect(self, accounts: Collection[Account], *, first_seconds: float) -> None:
        """Have a row for each of these, a new one from so long ago on, and leave the others out."""
        modes, names = [one.livemode for one in accounts], [one.name for one in accounts]
        await self._database.execute(QUERIES["add_accounts"], modes, names, first_seconds)
        await self._database.execute(QUERIES["leave_out_others"], modes, names)

    async def read(self, account: Account) -> Standing:
        """How an account stands."""
        (row,) = await self._database.fetch(QUERIES["read_standing"], account.livemode, account.name)
        return Standing(row["complete_until"], _pass_of(row))

    async def keep(self, tx: Connection, account: Account, walked: Pass, refused_ids: Sequence[str]) -> None:
        """
        Keep a pass as far as it got, in the transaction that records its page.

        Args:
            refused_ids: events of this page that PostgreSQL refused; a gap until they are in the log.

        Raises:
            LeaseLost: another reconciler works by now; nothing must be committed.
        """
        rows = await tx.fetch(
            QUERIES["keep_pass"],
            *(account.livemode, account.name, self._holder),
            *(walked.begins_at, walked.until, walked.cursor, walked.newest_id),
            *(walked.listed, walked.missing, walked.refused, walked.oldest_missing, refused_ids),
        )
        if not rows:
            raise LeaseLost

    async def end(self, tx: Connection, account: Account, walked: Pass, refused_ids: Sequence[str]) -> Ended:
        """
        Keep that a pass has ended, in the transaction that records its last page.

        Args:
            refused_ids: as for ``keep``.

        Raises:
            LeaseLost: as ``keep``.
        """
        arguments = (walked.until, walked.newest_id, walked.missing - walked.refused, walked.refused, refused_ids)
        rows = await tx.fetch(QUERIES["end_pass"], account.livemode, account.name, self._holder, *arguments)
        if not rows:
            raise LeaseLost
        return Ended(*rows[0])

    async def begin_anew(self, account: Account) -> None:
        """Forget how far the pass under way got."""
        await self._database.execute(QUERIES["begin_anew"], account.livemode, account.name)

    async def note_problem(self, account: Account, failure: Failure) -> None:
        """Keep why an account does not get on; its words hold no secret."""
        await self._database.execute(
            QUERIES["note_problem"], account.livemode, account.name, failure.code, str(failure)
        )

    async def newest_trouble(self) -> float | None:
        """When healthd last saw that webhooks were not taken in; seconds since the epoch."""
        (row,) = await self._database.fetch(QUERIES["newest_trouble"])
        ended_at: float | None = row["ended_at"]
        return ended_at


def _pass_of(row: Record) -> Pass | None:
    if row["pass_from"] is None:
        return None
    return Pass(
        begins_at=row["pass_from"],
        until=row["pass_until"],
        cursor=row["pass_cursor"],
        newest_id=row["pass_newest_id"],
        listed=row["pass_listed"],
        missing=row["pass_missing"],
        refused=row["pass_refused"],
        oldest_missing=row["pass_oldest_missing"],
    )
