"""Events that say nothing of a payment, or are of no known kind."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import Telling
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import complete_session, open_session


def setup_only(t: Telling) -> None:
    """A card is saved for later: no payment at all."""
    session = open_session(t, mode="setup", setup_intent=t.new_id("seti"))
    session = fill(session, {"amount_subtotal": None, "amount_total": None, "currency": None})
    t.later(50)
    complete_session(t, session, payment_status="no_payment_required")


def unknown_type(t: Telling) -> None:
    """Stripe invents a type of event that this release does not know."""
    about: JsonObject = {
        "id": t.new_id("wrist"),
        "object": "ticketing.wristband",
        "created": t.now,
        "livemode": t.subject.livemode,
        "metadata": t.metadata,
        "status": "activated",
    }
    t.say("ticketing.wristband.activated", about)
