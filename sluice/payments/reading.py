"""From an event to what it says of payments: one module for each family of Stripe's objects."""

from sluice.contract.event import StripeEvent
from sluice.payments.fact_builder import Saying
from sluice.payments.facts import ClaimedBy, Fact
from sluice.payments.families import FAMILIES


def facts_of(event: StripeEvent, *, trusts_reference: bool = True) -> tuple[Fact, ...]:
    """
    What an event says, at most one fact for each payment; empty where it says nothing of any.

    Args:
        trusts_reference: whether ``client_reference_id`` names a row; on a Payment Link the buyer chooses it.

    Raises:
        MalformedEvent: the body is no JSON object.
        TooManyFacts: it says more than ``saying.FACTS_MAX``.
    """
    family = FAMILIES.get(str(event.object.get("object")))
    facts = () if family is None else family.facts(Saying(event))
    return facts if trusts_reference else tuple(_without_reference(fact) for fact in facts)


def _without_reference(fact: Fact) -> Fact:
    return fact._replace(claims=tuple(claim for claim in fact.claims if claim.by is not ClaimedBy.REFERENCE))
