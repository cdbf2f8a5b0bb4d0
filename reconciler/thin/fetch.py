"""Ask Stripe what a thin event does not say: the event that its snapshot twin would have brought."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from reconciler.as_fetched import as_event
from reconciler.failures import NotThere, StripeUnavailable
from reconciler.listed import as_body, read_entry
from reconciler.stripe_api import API_VERSION, StripeApi
from sluice.contract.document import Json, JsonObject
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.contract.thin import GENERATION_FAILURE, plain_type, related_object, snapshot_event
from sluice.failures import MalformedEvent, Rejected
from sluice.payments.fetched import FETCHED_TYPES

FETCHED = "~fetched"
"""Behind the id of a thin event without a twin: the key of what was fetched, for the id itself is taken."""


class NamesNothing(Rejected):
    """It names neither a snapshot event nor an object that can be asked for."""

    code = "names_nothing"


class TellsOfNoPayment(Rejected):
    """Stripe failed to make an event of an object that no payment, invoice or subscription hangs on."""

    code = "tells_of_no_payment"


@dataclass(frozen=True)
class Fetcher:
    """
    Fetches the facts of thin events.

    Args:
        is_recorded: whether an event of this id is in the log.
    """

    apis: Mapping[bool, StripeApi]
    is_recorded: Callable[[str], Awaitable[bool]]

    async def fetch(self, thin: StripeEvent) -> StripeEvent | None:
        """
        The fact of a thin event, under the key that it shares with its snapshot twin; None: it is in the log already.

        Raises:
            Failure: as ``StripeApi.get``; NamesNothing, TellsOfNoPayment.
        """
        whole = thin.payload
        if thin.type == GENERATION_FAILURE:
            return await self._in_place_of_event(thin)
        if (twin := snapshot_event(whole)) is None:
            whole = await self._whole(thin)
            twin = snapshot_event(whole)
        if twin is not None:
            if await self.is_recorded(twin):
                return None
            with suppress(NotThere):  # it is older than 30 days by now
                return await self._snapshot(thin, twin)
        return await self._made_of_object(thin, whole, twin)

    async def _whole(self, thin: StripeEvent) -> JsonObject:
        """The thin event as Stripe tells it when asked, which is more than it sends."""
        own_id = str(thin.payload["id"])
        return _checked(await self._get(thin, f"/v2/core/events/{own_id}"), own_id)

    async def _snapshot(self, thin: StripeEvent, twin: str) -> StripeEvent:
        """The twin itself, with the object as it was."""
        document = _checked(await self._get(thin, f"/v1/events/{twin}"), twin)
        try:
            return read_entry(document, account=thin.account, livemode=thin.livemode)
        except MalformedEvent as error:
            raise StripeUnavailable(f"Stripe did not answer with an event: {error}") from error

    async def _made_of_object(self, thin: StripeEvent, whole: JsonObject, twin: str | None) -> StripeEvent:
        """An event made of the thin one and the object as it is now."""
        about, data = related_object(whole), whole.get("data")
        if about is None and not isinstance(data, Mapping):
            raise NamesNothing
        found = {} if about is None else _checked(await self._get(thin, about.path), about.id)
        said = data if isinstance(data, Mapping) else {}
        event = read_event(as_body(_document(thin, twin, {**said, **_before(whole), "object": found})))
        return event if twin is not None else replace(event, stripe_event_id=f"{thin.stripe_event_id}{FETCHED}")

    async def _in_place_of_event(self, thin: StripeEvent) -> StripeEvent:
        """The object of which Stripe could make no event, as it is now."""
        about = related_object(thin.payload) or related_object(await self._whole(thin))
        if about is None:
            raise NamesNothing
        answer = await self.apis[thin.livemode].get(about.path, account=thin.account)
        found = _checked(answer.document, about.id)
        word = str(found.get("object"))
        if word not in FETCHED_TYPES:
            raise TellsOfNoPayment
        return as_event(found, word=word, account=thin.account, livemode=thin.livemode, said_at=answer.said_at)

    async def _get(self, thin: StripeEvent, path: str) -> JsonObject:
        answer = await self.apis[thin.livemode].get(path, account=thin.account)
        return answer.document


def _checked(document: JsonObject, wanted: str) -> JsonObject:
    if document.get("id") != wanted:
        raise StripeUnavailable("Stripe answered with something else than it was asked for.")
    return document


def _before(whole: JsonObject) -> JsonObject:
    changes = whole.get("changes")
    before = changes.get("before") if isinstance(changes, Mapping) else None
    return {"previous_attributes": before} if isinstance(before, Mapping) else {}


def _document(thin: StripeEvent, twin: str | None, data: JsonObject) -> JsonObject:
    account: dict[str, Json] = {} if thin.account is None else {"account": thin.account}
    return {
        "id": twin or thin.payload["id"],
        "object": "event",
        **account,
        "api_version": API_VERSION,
        "created": thin.created,
        "data": data,
        "livemode": thin.livemode,
        "type": plain_type(thin.type),
    }
