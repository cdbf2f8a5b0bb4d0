"""One walk through each account's list by hand: as far back as is wanted, without touching the watermark."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from functools import partial

from reconciler.account_pass import list_page
from reconciler.accounts import Account
from reconciler.failures import AccountClosed, KeyMissing, KeyRefused, NotThere, RightMissing
from reconciler.listed import ListedPage
from reconciler.patience import patiently
from reconciler.record import RECONCILE, Filled, missing, record
from reconciler.standing import Pass
from reconciler.stripe_api import StripeApi
from sluice.postgres.pool import Database

NOT_VISIBLE = (AccountClosed, RightMissing, KeyRefused, KeyMissing)


@dataclass(frozen=True, slots=True)
class AccountReport:
    """Result of one account's walk."""

    mode: str
    account: str
    listed: int = 0
    filled: int = 0
    """Events that were missing and are in the log now; of a dry run, that are missing."""
    refused: int = 0
    not_visible: str | None = None
    """Why the key does not open this account's list; None: it does."""

    @property
    def in_step(self) -> int:
        """Events that were in the log before."""
        return self.listed - self.filled - self.refused

    @property
    def is_well(self) -> bool:
        """Whether all of it could be seen and recorded."""
        return self.not_visible is None and not self.refused


async def walk(
    database: Database,
    api: StripeApi,
    account: Account,
    *,
    since: int,
    dry_run: bool,
    progress: Callable[[int], None] = lambda _: None,
) -> AccountReport:
    """
    List everything that Stripe created since then, and record what is missing.

    Args:
        since: whole seconds since the Unix epoch.
        dry_run: only count it.
        progress: called with the second that each page goes back to.

    Raises:
        StripeUnavailable: Stripe did not answer several times in a row.
    """
    listed = filled = refused = 0
    try:
        async for page in _pages(api, account, since):
            found = await _take(database, page, dry_run=dry_run)
            listed += page.listed
            filled += len(found.new)
            refused += len(found.refused) + len(page.refused)
            if page.events:
                progress(min(event.created for event in page.events))
    except NOT_VISIBLE as failure:
        return AccountReport(account.mode, account.name, listed, filled, refused, str(failure))
    return AccountReport(account.mode, account.name, listed, filled, refused)


async def _pages(api: StripeApi, account: Account, since: int) -> AsyncIterator[ListedPage]:
    walked = Pass(begins_at=since)
    oldest: int | None = None
    anew_from: int | None = None
    while True:
        until = oldest if walked.cursor is None else None
        try:
            page = await patiently(partial(list_page, api, account, walked, until=until))
        except NotThere:  # the event to go on behind is older than 30 days by now: go on from its second
            if walked.cursor is None or oldest == anew_from:
                raise
            walked, anew_from = Pass(begins_at=since), oldest
            continue
        yield page
        if not page.has_more:
            return
        walked = walked.after(page, Filled())
        oldest = min((event.created for event in page.events), default=oldest)


async def _take(database: Database, page: ListedPage, *, dry_run: bool) -> Filled:
    async with database.acquire() as connection, connection.transaction(isolation="read_committed"):
        if dry_run:
            return Filled(tuple(await missing(connection, page.events)))
        return await record(connection, page.events, source=RECONCILE)


def of_interest(accounts: Collection[Account], wanted: Collection[str]) -> Collection[Account]:
    """Those that were asked for, the platform's first; all of them where none was named."""
    chosen = [one for one in accounts if not wanted or one.name in wanted]
    return sorted(chosen, key=lambda one: (one.account is not None, one.name, one.livemode))
