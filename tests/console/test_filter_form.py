"""The filter in the address of a page."""

from dataclasses import fields
from datetime import UTC, datetime

from multidict import MultiDict

from console.web.filter_form import read_filter
from console.web.rendering import query
from sluice.inbox.states import State
from sluice.operations.filters import Filter

ASKED = MultiDict(
    [
        ("id", "evt_1, evt_2"),
        ("id", "evt_3"),
        ("type", "charge.* invoice.paid"),
        ("account", " acct_1 "),
        ("organiser", "7"),
        ("since", "2026-11-30T09:00Z"),
        ("until", "2026-12-01"),
        ("state", "dead"),
        ("state", "written_off"),
        ("outcome", "failed"),
        ("object", "pi_1"),
        ("customer", "cus_1"),
        ("handler", "loyalty.add_points"),
        ("error", "no such seat"),
        ("verified_by", "api"),
    ]
)


def test_every_field_of_a_filter_has_its_place_in_the_address() -> None:
    """So that what `sluice ls` can ask, a page can; a new field is added here."""
    chosen = read_filter(ASKED).chosen
    assert chosen == Filter(
        ids=["evt_1", "evt_2", "evt_3"],
        types=["charge.*", "invoice.paid"],
        account="acct_1",
        organiser="7",
        since=datetime(2026, 11, 30, 9, tzinfo=UTC),
        until=datetime(2026, 12, 1, tzinfo=UTC),
        states=[State.DEAD, State.WRITTEN_OFF],
        outcome="failed",
        object_id="pi_1",
        customer="cus_1",
        handler="loyalty.add_points",
        error="no such seat",
        verified_by="api",
    )
    assert [field.name for field in fields(Filter) if not getattr(chosen, field.name)] == []


def test_the_fields_of_a_form_make_the_same_filter_again() -> None:
    """As the links of a page carry them."""
    form = read_filter(ASKED)
    pairs = [
        (name, one) for name, value in form.fields.items() for one in ([value] if isinstance(value, str) else value)
    ]
    again = read_filter(MultiDict(pairs))
    assert again == form
    assert query(form.fields).count("state=") == 2


def test_an_address_without_fields_asks_for_nothing() -> None:
    """Nor do empty ones, which a form sends."""
    assert read_filter(MultiDict([("state", ""), ("type", ""), ("since", " "), ("after", "x")])).is_empty
