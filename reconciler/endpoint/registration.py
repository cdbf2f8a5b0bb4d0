"""Registrations at Stripe, read from its two lists: webhook endpoints, and event destinations of both kinds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from reconciler.endpoint.public_url import normal
from reconciler.failures import StripeUnavailable
from sluice.contract.document import JsonObject
from sluice.runtime.printable import printable

EVERY_TYPE = "*"
THIN_PREFIX = "v1."
OWN_ACCOUNT = "@self"
OF_STRIPE = "v2.core."
"""Types that no handler takes, and Sluice itself does: pings, failures to make an event."""


class Payload(StrEnum):
    """Content of the webhooks that a registration gets."""

    SNAPSHOT = "snapshot"
    THIN = "thin"


@dataclass(frozen=True, slots=True)
class Registration:
    """One address at Stripe that it sends events to."""

    id: str
    url: str
    livemode: bool
    is_enabled: bool
    subscribed: frozenset[str]
    """Types in Stripe's own spelling; ``*`` is every type."""
    created: int
    """Seconds since the Unix epoch."""
    api_version: str | None = None
    """None: the account's default, or a thin event, which has none."""
    payload: Payload = Payload.SNAPSHOT
    sources: frozenset[str] = frozenset()
    """Accounts whose events it gets, such as ``@self`` and ``@accounts``; empty where the list does not say."""
    disabled_because: str | None = None

    @property
    def is_endpoint(self) -> bool:
        """Whether the API of webhook endpoints can change it."""
        return self.id.startswith("we_")

    @property
    def takes_more(self) -> bool:
        """Whether that API can subscribe it to more types."""
        return self.is_endpoint and self.payload is Payload.SNAPSHOT

    @property
    def whose(self) -> frozenset[str]:
        """Accounts whose events it gets; where the list does not say, our own is meant."""
        return self.sources or frozenset({OWN_ACCOUNT})

    @property
    def takes_all(self) -> bool:
        """Whether it gets every type."""
        return EVERY_TYPE in self.subscribed

    @property
    def brings_events(self) -> bool:
        """Whether it gets more than what Stripe says of itself, such as pings."""
        return any(not name.startswith(OF_STRIPE) for name in self.subscribed)

    @property
    def types(self) -> frozenset[str]:
        """Types by the names that handlers have: a thin ``v1.charge.failed`` is ``charge.failed``."""
        if self.payload is Payload.SNAPSHOT:
            return self.subscribed
        return frozenset(name.removeprefix(THIN_PREFIX) for name in self.subscribed)


_Text = Annotated[str, AfterValidator(printable)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Endpoint(_Document):
    id: _Text
    url: _Text
    livemode: bool
    status: Literal["enabled", "disabled"]
    enabled_events: frozenset[_Text]
    created: int
    api_version: _Text | None = None


class _Disabled(_Document):
    reason: _Text


class _StatusDetails(_Document):
    disabled: _Disabled | None = None


class _Address(_Document):
    url: _Text | None = None


class _Destination(_Document):
    id: _Text
    livemode: bool
    status: Literal["enabled", "disabled"]
    enabled_events: frozenset[_Text]
    created: datetime
    event_payload: Payload
    events_from: frozenset[_Text] | None = None
    snapshot_api_version: _Text | None = None
    status_details: _StatusDetails | None = None
    webhook_endpoint: _Address | None = None


def read_endpoint(document: JsonObject) -> Registration:
    """
    One entry of ``/v1/webhook_endpoints``.

    Raises:
        StripeUnavailable: it is none.
    """
    try:
        said = _Endpoint.model_validate(document)
    except ValidationError:
        raise StripeUnavailable("Stripe's list of webhook endpoints cannot be understood.") from None
    return Registration(
        id=said.id,
        url=normal(said.url),
        livemode=said.livemode,
        is_enabled=said.status == "enabled",
        subscribed=said.enabled_events,
        created=said.created,
        api_version=said.api_version,
    )


def read_destination(document: JsonObject) -> Registration | None:
    """
    One entry of ``/v2/core/event_destinations``; None: it has no URL, as Amazon EventBridge.

    Raises:
        StripeUnavailable: it is none.
    """
    try:
        said = _Destination.model_validate(document)
    except ValidationError:
        raise StripeUnavailable("Stripe's list of event destinations cannot be understood.") from None
    if said.webhook_endpoint is None or said.webhook_endpoint.url is None:
        return None
    details = said.status_details
    return Registration(
        id=said.id,
        url=normal(said.webhook_endpoint.url),
        livemode=said.livemode,
        is_enabled=said.status == "enabled",
        subscribed=said.enabled_events,
        created=int(said.created.timestamp()),
        api_version=said.snapshot_api_version,
        payload=said.event_payload,
        sources=said.events_from or frozenset(),
        disabled_because=details.disabled.reason if details and details.disabled else None,
    )


def merged(endpoints: Iterable[Registration], destinations: Iterable[Registration]) -> Sequence[Registration]:
    """
    Both lists as one. A snapshot destination that is a webhook endpoint too stands once, under the endpoint's id.

    Source: https://docs.stripe.com/changelog/acacia/2024-10-28/event-destinations-api
    """
    known = list(endpoints)
    for destination in destinations:
        place = next((place for place, one in enumerate(known) if _are_one(one, destination)), None)
        if place is None:
            known.append(destination)
        else:
            known[place] = replace(destination, id=known[place].id, subscribed=known[place].subscribed)
    return known


def _are_one(endpoint: Registration, destination: Registration) -> bool:
    if endpoint.id == destination.id:
        return True
    is_same_address = (endpoint.url, endpoint.livemode) == (destination.url, destination.livemode)
    is_same_age = endpoint.created == destination.created
    return destination.payload is Payload.SNAPSHOT and is_same_address and is_same_age
