"""The handlers of the payment families: one call for a batch, and organisers' events too."""

import processor.handlers
from processor.installed import ignore_references
from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts
from sluice.contract.event import StripeEvent
from sluice.payments.families import EVENT_TYPES
from sluice.payments.fetched import FETCHED_TYPES
from sluice.registry import Registry, discover, handles_batch
from tests.payments.harness import Harness
from tests.payments.history import PI, intent, names, session
from tests.payments.strategies import CELLAR, HARBOUR


def registry() -> Registry:
    """The registry once all handlers are found."""
    return discover(processor.handlers)


def test_the_ledger_is_called_once_for_a_batch_of_all_families() -> None:
    """One function for all, so that a dispatcher which groups by handler calls it once."""
    handlers = {handler for name in EVENT_TYPES for handler in registry().handlers_for(name)}
    assert handlers == {apply_facts, keep_invoices, keep_subscriptions}


def test_every_handler_of_ours_takes_organisers_events() -> None:
    """An organiser's payment counts for the organiser's own row; what is fetched is never an organiser's."""
    for name in registry().types.difference(FETCHED_TYPES.values()):
        told = StripeEvent("evt_1@7", name, 0, True, None, None, None, "7", b"")
        assert registry().handlers_of(told) == registry().handlers_for(name), name


async def test_a_reference_names_no_row_where_it_is_not_trusted(harness: Harness) -> None:
    """The setting reaches every family's handler; what metadata name counts as ever."""
    registry = Registry()
    for event_type in ("checkout.session.completed", "payment_intent.succeeded"):
        handles_batch(event_type, registry=registry)(apply_facts)
    ignore_references(registry)
    for told in (session("completed", client_reference_id=HARBOUR), intent("succeeded")):
        (handler,) = registry.handlers_for(told.type)
        await handler([told], harness.tx)
    assert await harness.shown() == ("pending", None)
    (handler,) = registry.handlers_for("checkout.session.completed")
    await handler([session("completed", 3, client_reference_id=CELLAR, metadata=names(HARBOUR))], harness.tx)
    assert await harness.shown() == ("paid", PI)
