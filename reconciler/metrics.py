"""Metrics of the reconciler; only the replica that works shows an account's figures."""

import time
from typing import Final

from reconciler.accounts import Account
from reconciler.listed import ListedPage
from reconciler.record import Filled
from reconciler.standing import Ended, Pass
from sluice.runtime import metrics

ACCOUNTS_SHOWN: Final = 50
"""Accounts with figures of their own; more would be a flood of labels. The table ``reconcile_account`` has all."""
_ACCOUNT = ("mode", "account")

REQUESTS = metrics.counter(
    "reconcile_requests_total",
    "Requests to Stripe, by what they ask for and what came of them.",
    ("mode", "of", "outcome"),
)
REQUESTS_MAX = metrics.gauge(
    "reconcile_requests_per_second_max", "Requests a second that may be sent to Stripe.", ("mode",)
)
WORKS = metrics.gauge("reconcile_works", "1 on the replica that works, 0 on those that stand by.")
EVENTS = metrics.counter(
    "reconcile_events_total",
    "Events that Stripe listed, by what became of them: known, filled (they had not arrived), refused.",
    ("mode", "outcome"),
)
PASSES = metrics.counter(
    "reconcile_passes_total", "Passes over an account, by how they ended: done, or why not.", ("mode", "outcome")
)
THIN_EVENTS = metrics.counter(
    "reconcile_thin_events_total",
    "Tries to fetch a thin event, by what came of them: fetched, known (its twin was here), unfetchable, waits.",
    ("mode", "outcome"),
)
THIN_LISTS = metrics.counter(
    "reconcile_thin_lists_total",
    "Looks at an account's list of events that come as thin ones alone, by how they ended: done, or why not.",
    ("mode", "outcome"),
)
COMPLETE_UNTIL = metrics.gauge(
    "reconcile_complete_until_timestamp_seconds",
    "Everything that Stripe created before this moment is in the log, Unix time.",
    _ACCOUNT,
)
GAP_EVENTS = metrics.gauge(
    "reconcile_gap_events",
    "Events that a pass found missing and that is not at its end, or that could not be recorded.",
    _ACCOUNT,
)
GAP_AGE = metrics.gauge(
    "reconcile_gap_oldest_age_seconds", "Age of the oldest event of the gap; 0 where there is none.", _ACCOUNT
)

_shown: set[Account] = set()
_closed: set[Account] = set()


def expect(*, mode: str, per_second: float) -> None:
    """Show a mode's counters as 0, so that their first increase is one."""
    REQUESTS_MAX.labels(mode).set(per_second)
    for outcome in ("known", "filled", "refused"):
        EVENTS.labels(mode, outcome)
    for outcome in ("fetched", "known", "unfetchable", "waits"):
        THIN_EVENTS.labels(mode, outcome)


def show_page(account: Account, page: ListedPage, filled: Filled) -> None:
    """After a page was committed."""
    _closed.discard(account)
    refused = len(page.refused) + len(filled.refused)
    EVENTS.labels(account.mode, "filled").inc(len(filled.new))
    EVENTS.labels(account.mode, "refused").inc(refused)
    EVENTS.labels(account.mode, "known").inc(page.listed - len(filled.new) - refused)


def show_pass(account: Account, walked: Pass, *, ended: Ended | None = None) -> None:
    """
    How an account stands while a pass goes on, and after it.

    Args:
        ended: how the pass left the account; None: it goes on.
    """
    if account in _closed or (account not in _shown and len(_shown) >= ACCOUNTS_SHOWN):
        return
    _shown.add(account)
    labels = (account.mode, account.name)
    open_events = walked.missing if ended is None else ended.refused
    since = walked.oldest_missing or (ended.open_since if ended is not None else None) or walked.until
    GAP_EVENTS.labels(*labels).set(open_events)
    GAP_AGE.labels(*labels).set_function(lambda: max(0.0, time.time() - since) if open_events and since else 0.0)
    if ended is not None:
        COMPLETE_UNTIL.labels(*labels).set(ended.complete_until)


def show_complete(account: Account, complete_until: int) -> None:
    """How an account stands before its first pass here."""
    if account not in _closed and len(_shown) < ACCOUNTS_SHOWN:
        _shown.add(account)
        COMPLETE_UNTIL.labels(account.mode, account.name).set(complete_until)


def forget_closed(account: Account) -> None:
    """Show an account no more until it is listed again: what has left the platform is behind for ever, and no gap."""
    _closed.add(account)
    if account in _shown:
        _shown.discard(account)
        for gauge in (COMPLETE_UNTIL, GAP_EVENTS, GAP_AGE):
            gauge.remove(account.mode, account.name)


def forget_accounts() -> None:
    """Show no account any more: another replica does."""
    _shown.clear()
    _closed.clear()
    for gauge in (COMPLETE_UNTIL, GAP_EVENTS, GAP_AGE):
        gauge.clear()
