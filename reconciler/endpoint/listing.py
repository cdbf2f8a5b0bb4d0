"""Ask Stripe for everything that is registered in one mode."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.endpoint.registration import Payload, Registration, merged, read_destination, read_endpoint
from reconciler.failures import NotThere, NotUnderstood, RightMissing, StripeUnavailable
from reconciler.stripe_api import StripeApi
from sluice.contract.document import Json, JsonObject

_PAGE = 100
_MOST_PAGES = 20
ENDPOINTS = "/v1/webhook_endpoints"
DESTINATIONS = "/v2/core/event_destinations"


@dataclass(frozen=True, slots=True)
class Listed:
    """All that is registered in one mode."""

    registrations: Sequence[Registration]
    said_at: int
    """Stripe's clock, in whole seconds since the Unix epoch."""
    destinations_unseen: str | None = None
    """Why event destinations were not listed; None: they were."""


async def list_registrations(api: StripeApi) -> Listed:
    """
    Both lists as one; where the key may not read event destinations, webhook endpoints alone.

    Raises:
        Failure: as ``StripeApi.get``, for webhook endpoints.
    """
    pages = [page async for page in _endpoint_pages(api)]
    endpoints = [read_endpoint(document) for page, _ in pages for document in page]
    said_at = pages[-1][1]
    try:
        documents = [document async for document in _destinations(api)]
    except (RightMissing, NotThere, NotUnderstood) as failure:
        return Listed(endpoints, said_at, destinations_unseen=str(failure))
    return Listed(merged(endpoints, _read(documents)), said_at)


async def thin_destinations(api: StripeApi, url: str) -> Sequence[str]:
    """
    The ids of the enabled thin destinations that have this URL, the oldest first; each has a secret of its own.

    Raises:
        Failure: as ``StripeApi.get``.
    """
    registered = _read([document async for document in _destinations(api)])
    ours = [one for one in registered if one.url == url and one.is_enabled and one.payload is Payload.THIN]
    return [one.id for one in sorted(ours, key=lambda one: one.created)]


def _read(documents: Sequence[JsonObject]) -> Sequence[Registration]:
    return [one for document in documents if (one := read_destination(document)) is not None]


async def _endpoint_pages(api: StripeApi) -> AsyncIterator[tuple[Sequence[JsonObject], int]]:
    parameters: dict[str, str | int] = {"limit": _PAGE}
    for _ in range(_MOST_PAGES):
        answer = await api.get(ENDPOINTS, parameters)
        documents = _documents(answer.document.get("data"))
        yield documents, answer.said_at
        if answer.document.get("has_more") is not True or not documents:
            return
        parameters["starting_after"] = str(documents[-1].get("id"))


async def _destinations(api: StripeApi) -> AsyncIterator[JsonObject]:
    path: Json = DESTINATIONS
    parameters: dict[str, str | int] = {"include[0]": "webhook_endpoint.url", "limit": _PAGE}
    for _ in range(_MOST_PAGES):
        answer = await api.get(str(path), parameters)
        for document in _documents(answer.document.get("data")):
            yield document
        path, parameters = answer.document.get("next_page_url"), {}
        if not isinstance(path, str) or not path.startswith("/"):
            return


def _documents(data: Json) -> Sequence[JsonObject]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise StripeUnavailable("Stripe's answer is no list.")
    return [document for document in data if isinstance(document, Mapping)]
