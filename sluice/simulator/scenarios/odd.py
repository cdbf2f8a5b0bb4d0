"""Events that say nothing of a payment, or are of no known kind."""

from sluice.contract.document import JsonObject
from sluice.simulator.builder import ScenarioBuilder
from sluice.simulator.objects import fill
from sluice.simulator.scenarios.steps import complete_session, open_session


def setup_only(b: ScenarioBuilder) -> None:
    """A card is saved for later: no payment at all."""
    session = open_session(b, mode="setup", setup_intent=b.new_id("seti"))
    session = fill(session, {"amount_subtotal": None, "amount_total": None, "currency": None})
    b.later(50)
    complete_session(b, session, payment_status="no_payment_required")


def unknown_type(b: ScenarioBuilder) -> None:
    """Stripe invents a type of event that this release does not know."""
    about: JsonObject = {
        "id": b.new_id("wrist"),
        "object": "ticketing.wristband",
        "created": b.now,
        "livemode": b.subject.livemode,
        "metadata": b.metadata,
        "status": "activated",
    }
    b.emit("ticketing.wristband.activated", about)
