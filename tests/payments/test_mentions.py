"""Which user and which row a webhook names, for the error that is about it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.contract.document import JsonObject
from sluice.payments.mentions import Mentions, mentions


def payload(**thing: object) -> JsonObject:
    """An event about this object."""
    return {"data": {"object": thing}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        ({}, Mentions()),
        ({"customer": "cus_1"}, Mentions(user_id="cus_1")),
        ({"customer": {"id": "cus_1", "object": "customer"}}, Mentions(user_id="cus_1")),
        ({"id": "cus_1", "object": "customer"}, Mentions(user_id="cus_1")),
        ({"id": "ch_1", "customer": None}, Mentions()),
        ({"customer": "cus_1", "metadata": {"user_id": "42", "event_id": "7"}}, Mentions("42", "7")),
        ({"client_reference_id": "7"}, Mentions(None, "7")),
        ({"client_reference_id": "buyer", "metadata": {"event_id": "7"}}, Mentions(None, "7")),
        ({"parent": {"subscription_details": {"metadata": {"user_id": "42", "event_id": "7"}}}}, Mentions("42", "7")),
        ({"metadata": {"user_id": 42, "event_id": ["7"]}}, Mentions()),
        ({"metadata": "none", "customer": 7}, Mentions()),
    ],
)
def test_a_webhook_names_its_person_and_its_row(thing: dict[str, object], named: Mentions) -> None:
    """Your own user before Stripe's customer, metadata before the reference; other shapes name no user."""
    assert mentions(payload(**thing)) == named


def test_an_organisers_url_names_its_row_before_all_else() -> None:
    """The body is the organiser's own word."""
    assert mentions(payload(metadata={"event_id": "8"}), tenant="7") == Mentions(None, "7")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "data", "object", "metadata", "customer", "id", "user_id", "event_id", "parent", "subscription_details",
    ]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.just("data"), JSON))
def test_no_body_breaks_the_report_of_an_error(body: dict[str, object]) -> None:
    """Whatever it is; telling of a fault must never become one."""
    named = mentions(json.loads(json.dumps(body)))
    assert all(one is None or isinstance(one, str) for one in (named.user_id, named.events_id))
