"""The handlers of the payment families: complete, correctly named, documented, and one call for a batch."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import stripe

import processor.handlers
from processor.app import ignore_references
from processor.payments.billing import keep_invoices, keep_subscriptions
from processor.payments.ledger import apply_facts
from sluice.contract.event import StripeEvent
from sluice.registry import Registry, discover, handles_batch
from tests.payments.desk import Desk
from tests.payments.history import FIXTURES, PI, fixture, intent, names, session
from tests.payments.strategies import CELLAR, HARBOUR

ROOT = Path(__file__).parents[2]
FAMILIES = re.compile(
    r'"((?:charge|checkout\.session|customer\.subscription|invoice|invoice_payment|payment_intent|refund)\.[a-z_.]+)"'
)
PAYMENTS = re.compile(FAMILIES.pattern.strip('"'))


def types_of_stripe() -> frozenset[str]:
    """The types of these families that Stripe's own library knows (the Literal of ``Event.type``)."""
    return frozenset(FAMILIES.findall(inspect.getsource(inspect.getmodule(stripe.Event) or stripe.Event)))


def registry() -> Registry:
    """What is registered once all handlers are found."""
    return discover(processor.handlers)


def test_every_type_of_the_payment_families_is_handled_and_none_is_misspelt() -> None:
    """Exactly those that Stripe sends."""
    handled = {name for name in registry().types if PAYMENTS.fullmatch(name)}
    assert len(handled) > 50
    assert handled == types_of_stripe()


def test_the_ledger_is_called_once_for_a_batch_of_all_families() -> None:
    """One function for all, so that a dispatcher which groups by handler calls it once."""
    handlers = {handler for name in types_of_stripe() for handler in registry().handlers_for(name)}
    assert handlers == {apply_facts, keep_invoices, keep_subscriptions}
    assert all(apply_facts in registry().handlers_for(name) for name in types_of_stripe())


def test_every_handler_of_ours_takes_organisers_events() -> None:
    """An organiser's payment counts for the organiser's own row."""
    for name in registry().types:
        told = StripeEvent("evt_1@7", name, 0, True, None, None, None, "7", b"")
        assert registry().handlers_of(told) == registry().handlers_for(name), name


def test_every_family_has_a_fixture() -> None:
    """One file, one fixture, one page."""
    modules = {path.stem for path in Path(processor.handlers.__path__[0]).glob("[a-z]*.py")}
    assert {_family(str(fixture(path.stem)["type"])) for path in FIXTURES.glob("*.json")} >= modules


def test_every_type_is_in_the_table_of_the_page() -> None:
    """docs/event-types.md names each handled type, and no other of these families."""
    page = (ROOT / "docs" / "event-types.md").read_text(encoding="utf-8")
    assert set(_documented(page)) == types_of_stripe()


def _family(event_type: str) -> str:
    if event_type.startswith("charge.dispute."):
        return "dispute"
    return event_type.rpartition(".")[0].replace(".", "_")


def _documented(page: str) -> Iterator[str]:
    for row in page.splitlines():
        if row.startswith("| `"):
            yield from re.findall(r"`([a-z_]+\.[a-z_.]+)`", row.split("|")[1])


async def test_a_reference_names_no_row_where_it_is_not_trusted(desk: Desk) -> None:
    """The setting reaches every family's handler; what metadata name counts as ever."""
    registry = Registry()
    for event_type in ("checkout.session.completed", "payment_intent.succeeded"):
        handles_batch(event_type, registry=registry)(apply_facts)
    ignore_references(registry)
    for told in (session("completed", client_reference_id=HARBOUR), intent("succeeded")):
        (handler,) = registry.handlers_for(told.type)
        await handler([told], desk.tx)
    assert await desk.shown() == ("pending", None)
    (handler,) = registry.handlers_for("checkout.session.completed")
    await handler([session("completed", 3, client_reference_id=CELLAR, metadata=names(HARBOUR))], desk.tx)
    assert await desk.shown() == ("paid", PI)
