"""One pass over one account: list what Stripe made since the watermark, record what is missing, move the watermark."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler import metrics
from reconciler.accounts import Account
from reconciler.failures import NotThere, StripeUnavailable
from reconciler.listed import ListedPage, read_page
from reconciler.record import RECONCILE, Filled, record
from reconciler.standing import Ended, Pass, Standings
from reconciler.stripe_api import StripeApi
from sluice.error_log.error_log import ErrorLog
from sluice.postgres.pool import Database

PAGE = 100
KEPT_SECONDS = 30 * 86_400


async def list_page(api: StripeApi, account: Account, walked: Pass, *, until: int | None = None) -> ListedPage:
    """
    The next page of a pass, newest first.

    Args:
        until: list nothing newer; whole seconds.

    Raises:
        Failure: as ``StripeApi.get``.
    """
    parameters: dict[str, str | int] = {"limit": PAGE, "created[gte]": walked.begins_at}
    if walked.cursor is not None:
        parameters["starting_after"] = walked.cursor
    if until is not None:
        parameters["created[lte]"] = until
    answer = await api.get("/v1/events", parameters, account=account.account)
    page = read_page(answer.document, account=account.account, livemode=account.livemode, said_at=answer.said_at)
    if page.has_more and page.last_id == walked.cursor:
        raise StripeUnavailable("Stripe gave the page before once more.")
    return page


@dataclass(frozen=True)
class Passes:
    """Runs passes; what one page gives and how far the pass got commit together."""

    database: Database
    standings: Standings
    apis: Mapping[bool, StripeApi]
    errors: ErrorLog
    overlap_seconds: int

    async def run(self, account: Account) -> Pass:
        """
        Run one pass to its end, or go on with one that was interrupted.

        Raises:
            Failure: Stripe or PostgreSQL did not do its part; the next call goes on where this one stopped.
            LeaseLost: another reconciler works by now.
        """
        standing = await self.standings.read(account)
        walked = standing.next_pass(overlap_seconds=self.overlap_seconds)
        metrics.show_complete(account, standing.complete_until)
        metrics.show_pass(account, walked)
        is_anew = False
        while True:
            try:
                page = await list_page(self.apis[account.livemode], account, walked)
            except NotThere:  # the event that the cursor names is older than 30 days by now
                if walked.cursor is None or is_anew:
                    raise
                await self.standings.begin_anew(account)
                walked, is_anew = Pass(begins_at=walked.begins_at), True
                continue
            if walked.until is None:
                self._tell_of_lost(account, walked, page)
            walked = await self._keep(account, walked, page)
            if not page.has_more:
                return walked

    async def _keep(self, account: Account, walked: Pass, page: ListedPage) -> Pass:
        ended: Ended | None = None
        async with (
            self.database.acquire() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            filled = await record(connection, page.events, source=RECONCILE)
            walked = walked.after(page, filled)
            refused_ids = [one.stripe_event_id for one in filled.refused]
            if page.has_more:
                await self.standings.keep(connection, account, walked, refused_ids)
            else:
                ended = await self.standings.end(connection, account, walked, refused_ids)
        self._tell(account, page, filled)
        metrics.show_page(account, page, filled)
        metrics.show_pass(account, walked, ended=ended)
        return walked

    def _tell_of_lost(self, account: Account, walked: Pass, page: ListedPage) -> None:
        """Say once what no pass can fill: Stripe keeps events for thirty days."""
        if walked.begins_at < page.said_at - KEPT_SECONDS:
            self.errors.api(
                f"The events of {account.name} were not listed for more than thirty days; of what is older Stripe has "
                "no list any more. Compare its objects with your tables for the time before.",
                severity="critical",
                request_data={"account": account.name, "livemode": account.livemode},
            )

    def _tell(self, account: Account, page: ListedPage, filled: Filled) -> None:
        for one in (*page.refused, *filled.refused):
            self.errors.webhook(
                f"Stripe lists {one.stripe_event_id or 'something'} that cannot be recorded: {one.reason}",
                severity="high",
                stripe_event_id=one.stripe_event_id or None,
                request_data={"account": account.name, "livemode": account.livemode},
            )
