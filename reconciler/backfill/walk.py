"""One walk through one list of objects: fetch a page, record what is new with how far the walk got, go on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from reconciler.accounts import Account
from reconciler.as_fetched import as_event
from reconciler.backfill.kinds import Kind
from reconciler.backfill.progress import Walk, keep_walk, read_walk
from reconciler.by_hand import NOT_VISIBLE
from reconciler.failures import NotThere, StripeUnavailable
from reconciler.listed import ListedPage, page_of
from reconciler.patience import patiently
from reconciler.record import BACKFILL, Filled, missing, record
from reconciler.stripe_api import StripeApi
from sluice.postgres.pool import Database

_PAGE = 100


@dataclass(frozen=True, slots=True)
class KindReport:
    """Result of one walk, what an interrupted run of it did before included."""

    mode: str
    account: str
    objects: str
    listed: int = 0
    filled: int = 0
    """Objects whose state was recorded; of a dry run, those that would be."""
    refused: int = 0
    not_visible: str | None = None
    """Why the key does not open this list; None: it does."""

    @property
    def known(self) -> int:
        """Objects whose state was recorded before."""
        return self.listed - self.filled - self.refused

    @property
    def is_well(self) -> bool:
        """Whether all of it could be seen and recorded."""
        return self.not_visible is None and not self.refused


@dataclass(frozen=True)
class Backfill:
    """Walks through lists of objects."""

    database: Database
    since: int
    """Whole seconds since the Unix epoch."""
    is_dry: bool
    """Whether nothing is recorded, neither objects nor how far it got."""

    async def run(
        self, api: StripeApi, account: Account, kind: Kind, *, progress: Callable[[int], None] = lambda _: None
    ) -> KindReport:
        """
        Walk through one list to its end, or go on with a walk that was interrupted.

        Args:
            progress: called with the second that each page goes back to.

        Raises:
            StripeUnavailable: Stripe did not answer several times in a row; the next run goes on from there.
        """
        walk, not_visible = await self._begin(account, kind), None
        try:
            is_over = False
            while not is_over:
                page, walk = await self._page(api, account, kind, walk)
                walk = await self._keep(account, kind, walk, page)
                is_over = not page.has_more
                progress(self.since if walk.reached is None else walk.reached)
        except NOT_VISIBLE as failure:
            not_visible = str(failure)
        return KindReport(account.mode, account.name, kind.name, walk.listed, walk.filled, walk.refused, not_visible)

    async def _begin(self, account: Account, kind: Kind) -> Walk:
        return Walk(self.since) if self.is_dry else await read_walk(self.database, account, kind, since=self.since)

    async def _page(self, api: StripeApi, account: Account, kind: Kind, walk: Walk) -> tuple[ListedPage, Walk]:
        """The next page; where the object is gone that it would go on behind, from the second of that one."""
        try:
            return await patiently(partial(_list_page, api, account, kind, walk)), walk
        except NotThere:
            if walk.cursor is None:
                raise
            anew = replace(walk, cursor=None)
            return await patiently(partial(_list_page, api, account, kind, anew)), anew

    async def _keep(self, account: Account, kind: Kind, walk: Walk, page: ListedPage) -> Walk:
        async with self.database.acquire() as tx, tx.transaction(isolation="read_committed"):
            if self.is_dry:
                return walk.after(page, Filled(tuple(await missing(tx, page.events))))
            walk = walk.after(page, await record(tx, page.events, source=BACKFILL))
            await keep_walk(tx, account, kind, walk, is_over=not page.has_more)
        return walk


async def _list_page(api: StripeApi, account: Account, kind: Kind, walk: Walk) -> ListedPage:
    parameters: dict[str, str | int] = {**kind.parameters, "limit": _PAGE, "created[gte]": walk.since}
    if walk.cursor is not None:
        parameters["starting_after"] = walk.cursor
    elif walk.reached is not None:
        parameters["created[lte]"] = walk.reached
    answer = await api.get(kind.path, parameters, account=account.account)
    read = partial(as_event, word=kind.word, account=account.account, livemode=account.livemode, said_at=answer.said_at)
    page = page_of(answer.document, read, said_at=answer.said_at)
    if page.has_more and page.last_id == walk.cursor:
        raise StripeUnavailable("Stripe gave the page before once more.")
    return page
