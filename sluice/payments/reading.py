"""From an event to what it says of payments: one module for each family of Stripe's objects."""

from sluice.contract.event import StripeEvent
from sluice.payments.fact_builder import FactBuilder
from sluice.payments.facts import Fact, NamedBy
from sluice.payments.families import FAMILIES


def facts_of(event: StripeEvent, *, trusts_reference: bool = True) -> tuple[Fact, ...]:
    """
    Make the facts of an event, at most one for each payment; none where it is about no payment.

    Args:
        trusts_reference: whether ``client_reference_id`` names a row; on a Payment Link the buyer chooses it.

    Raises:
        MalformedEvent: the body is no JSON object.
        TooManyFacts: it makes more than ``fact_builder.FACTS_MAX``.
    """
    family = FAMILIES.get(str(event.object.get("object")))
    facts = () if family is None else family.facts(FactBuilder(event))
    return facts if trusts_reference else tuple(_without_reference(fact) for fact in facts)


def _without_reference(fact: Fact) -> Fact:
    return fact._replace(namings=tuple(naming for naming in fact.namings if naming.by is not NamedBy.REFERENCE))
