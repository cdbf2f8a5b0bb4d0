"""From a page of Stripe's list to events as a webhook would have brought them. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from reconciler.failures import StripeUnavailable
from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import MalformedEvent


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry of a list that is no event; what it says of itself, where it says so."""

    stripe_event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class ListedPage:
    """One page, newest first."""

    events: tuple[StripeEvent, ...]
    refused: tuple[Refused, ...]
    last_id: str | None
    """Where the next page goes on; None: there is nothing to go on from."""
    has_more: bool
    said_at: int
    """Stripe's time, in whole seconds."""

    @property
    def listed(self) -> int:
        """Entries of the page."""
        return len(self.events) + len(self.refused)


def read_page(document: JsonObject, *, account: str | None, livemode: bool, said_at: int) -> ListedPage:
    """
    Read one page of ``GET /v1/events``.

    Args:
        account: whose list it is; Stripe need not repeat it in each event.

    Raises:
        StripeUnavailable: this is no list.
    """
    return page_of(document, partial(read_entry, account=account, livemode=livemode), said_at=said_at)


def page_of(document: JsonObject, read: Callable[[Json], StripeEvent], *, said_at: int) -> ListedPage:
    """
    Read one page of any list.

    Args:
        read: makes an event of an entry, or raises MalformedEvent.

    Raises:
        StripeUnavailable: this is no list.
    """
    entries = document.get("data")
    if document.get("object") != "list" or not isinstance(entries, list):
        raise StripeUnavailable("Stripe did not answer with a list.")
    events: list[StripeEvent] = []
    refused: list[Refused] = []
    for entry in entries:
        try:
            events.append(read(entry))
        except MalformedEvent as error:
            refused.append(Refused(_id_of(entry), str(error)))
    last_id = _id_of(entries[-1]) or None if entries else None
    has_more = document.get("has_more") is True
    if has_more and last_id is None:
        raise StripeUnavailable("Stripe says that its list goes on, and not where.")
    return ListedPage(
        events=tuple(events),
        refused=tuple(refused),
        last_id=last_id,
        has_more=has_more,
        said_at=said_at,
    )


def read_entry(entry: Json, *, account: str | None, livemode: bool) -> StripeEvent:
    """
    Read one event of the first API as its webhook would have brought it.

    Raises:
        MalformedEvent: it is none, or of the other mode.
    """
    if not isinstance(entry, Mapping):
        raise MalformedEvent("An entry of the list is no object.")
    event = read_event(as_body(entry if account is None else {**entry, "account": account}))
    if event.livemode is not livemode:
        raise MalformedEvent("The event is of the other mode.")
    return event


def as_body(document: JsonObject) -> bytes:
    """A document as bytes; what orjson refuses, such as lone surrogates, is written in ASCII."""
    try:
        return orjson.dumps(document)
    except (TypeError, ValueError):
        return json.dumps(document).encode()


def _id_of(entry: Json) -> str:
    found = entry.get("id") if isinstance(entry, Mapping) else None
    return found if isinstance(found, str) else ""
