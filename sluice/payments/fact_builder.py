"""How an event's words become facts: what all families share."""

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from sluice.contract.document import JsonObject
from sluice.contract.event import StripeEvent
from sluice.failures import TooManyFacts
from sluice.payments.api_version import tells_releases_as_refunds
from sluice.payments.facts import Fact, FactKind, NamedBy, Naming
from sluice.payments.values import child, identifier, moment, text

METADATA_KEY = "event_id"
FACTS_MAX = 1_000
"""Of one event. An invoice is paid by a handful of payments; an event with thousands is an attack."""


@dataclass(frozen=True, slots=True)
class FactBuilder:
    """One event about to be turned into facts."""

    event: StripeEvent
    _counted: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False, compare=False)

    @property
    def object(self) -> JsonObject:
        """The API object that speaks."""
        return self.event.object

    @property
    def verb(self) -> str:
        """The last word of the event's type: ``payment_intent.succeeded`` says ``succeeded``."""
        return self.event.verb

    @property
    def tells_releases_as_refunds(self) -> bool:
        """Whether a refund of this event may only have let go of a hold."""
        return tells_releases_as_refunds(self.event.api_version)

    def fact(
        self,
        payment_id: str,
        kind: FactKind,
        *,
        namings: tuple[Naming, ...] = (),
        status: str | None = None,
        amount: int | None = None,
        amount_captured: int | None = None,
        amount_released: int | None = None,
        parent_id: str | None = None,
    ) -> Fact:
        """
        A fact of this event about this payment. Through an organiser's URL it names that organiser's row alone.

        Raises:
            TooManyFacts: the event has made ``FACTS_MAX`` already.
        """
        if next(self._counted) > FACTS_MAX:
            raise _too_many(self.event)
        api_object = self.object
        return Fact(
            payment_id=payment_id,
            kind=kind,
            said_at=self.event.created,
            stripe_event_id=self.event.stripe_event_id,
            object_id=identifier(api_object, "id"),
            status=status,
            amount=amount,
            amount_captured=amount_captured,
            amount_released=amount_released,
            currency=text(api_object, "currency"),
            object_created=moment(api_object, "created"),
            parent_id=parent_id,
            namings=self._tenant_naming or namings,
            destination=_destination(api_object),
            on_behalf_of=identifier(api_object, "on_behalf_of", "acct_"),
        )

    def each(self, ids: Iterable[str | None]) -> Collection[str]:
        """
        Those of some ids that are there, once each and sorted; no more are read than an event may make facts of.

        Raises:
            TooManyFacts: there are more.
        """
        found: set[str] = set()
        for one in ids:
            if one is not None:
                found.add(one)
            if len(found) > FACTS_MAX:
                raise _too_many(self.event)
        return sorted(found)

    @property
    def metadata_naming(self) -> tuple[Naming, ...]:
        """The row that the object's ``metadata.event_id`` names."""
        return naming_in(child(self.object, "metadata"))

    @property
    def _tenant_naming(self) -> tuple[Naming, ...]:
        return () if self.event.tenant is None else (Naming(self.event.tenant, NamedBy.TENANT),)


def _too_many(event: StripeEvent) -> TooManyFacts:
    failure = TooManyFacts(f"it makes more than {FACTS_MAX} facts, and one event may not")
    failure.stripe_event_id = event.stripe_event_id
    return failure


def _destination(api_object: JsonObject) -> str | None:
    """Charges of before 2017 named it in a field of their own."""
    transferred = identifier(child(api_object, "transfer_data"), "destination", "acct_")
    return transferred or identifier(api_object, "destination", "acct_")


def naming_in(metadata: JsonObject) -> tuple[Naming, ...]:
    """The row that ``event_id`` in some metadata names."""
    named = text(metadata, METADATA_KEY)
    return () if named is None else (Naming(named, NamedBy.METADATA),)
