from collections.abc import Sequence

import pytest

from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.payments.facts import Fact
from sluice.payments.reading import facts_of
from sluice.payments.recompute import Node, settle
from sluice.payments.status import PaymentStatus
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, Account, play
from sluice.simulator.objects import API_VERSION, shape

EVENTS_ID = "0b9c5e0e-6c0f-4f0e-9a53-3f1f6f1c2b11"
ENDS_AT = 1_900_000_000
EVERY_SCENARIO = pytest.mark.parametrize("name", SCENARIOS)


def told(name: str, seed: str = "7", subject: Subject | None = None) -> Sequence[StripeEvent]:
    """A scenario's events as Sluice reads them."""
    subject = subject or Subject("Night", EVENTS_ID)
    return [read_event(event.body) for event in play(SCENARIOS[name], subject, seed=seed, ends_at=ENDS_AT)]


@EVERY_SCENARIO
def test_every_event_is_one_that_sluice_reads(name: str) -> None:
    """Ids, times and versions have the shape that the contract asks for, and time never runs backwards."""
    events = told(name)
    assert events
    assert [event.created for event in events] == sorted(event.created for event in events)
    assert all(ENDS_AT - 86_400 <= event.created <= ENDS_AT for event in events)
    assert {event.api_version for event in events} == {API_VERSION}
    assert len({event.stripe_event_id for event in events}) == len(events)


@EVERY_SCENARIO
def test_the_same_seed_tells_the_same_bytes(name: str) -> None:
    """A scenario is a function of its arguments; another seed shares no id with it."""
    bodies = [event.body for event in told(name)]
    assert bodies == [event.body for event in told(name)]
    assert not {event.stripe_event_id for event in told(name)} & {event.stripe_event_id for event in told(name, "8")}


@EVERY_SCENARIO
def test_a_story_without_a_row_names_none(name: str) -> None:
    """Sent to a system whose rows are not known, no object names one, so nothing is parked."""
    for event in told(name, subject=Subject("Night")):
        assert event.object.get("metadata", {}) == {}
        assert event.object.get("client_reference_id") is None


@EVERY_SCENARIO
def test_every_story_says_what_happens(name: str) -> None:
    """The list that `sluice send --list` prints has a sentence for each."""
    assert SCENARIOS[name].sentence.endswith(".")


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "unknown_type"])
def test_objects_have_every_field_of_their_kind(name: str) -> None:
    """An object carries all fields that Stripe's carries, so that a reader cannot live by what is left out."""
    for event in told(name):
        kind = event.object["object"]
        assert isinstance(kind, str)
        assert event.object.keys() == shape(kind).keys()
        assert event.object["id"] == event.object_id


def test_a_field_that_stripe_does_not_have_is_refused() -> None:
    """A misspelt field in a script fails here instead of being sent."""
    with pytest.raises(KeyError, match="amuont"):
        shape("charge", amuont=1)


def test_a_connected_account_and_live_mode_are_on_every_event() -> None:
    """Connect's ``account`` and ``livemode`` stand on the envelope, the mode on the objects too."""
    events = told("checkout_paid", subject=Subject("Night", EVENTS_ID, "acct_1A", livemode=True))
    assert {(event.account, event.livemode, event.object["livemode"]) for event in events} == {("acct_1A", True, True)}


def test_every_kind_of_account_has_a_story() -> None:
    """Platform, organiser and Connect are all in the day."""
    assert {scenario.account for scenario in SCENARIOS.values()} == set(Account)


def test_titles_are_unique() -> None:
    """The demo finds its rows again by name."""
    assert len({scenario.title for scenario in SCENARIOS.values()}) == len(SCENARIOS)


def becomes(events: Sequence[StripeEvent]) -> str | None:
    """The status of the row that these events name, by the pure core alone; None: no payment is bound to it."""
    book: dict[Node, list[Fact]] = {}
    for event in events:
        for fact in facts_of(event):
            book.setdefault(Node(event.scope, fact.payment_id), []).append(fact)
    states = settle(book, {EVENTS_ID: None}).values()
    bound = [state.status for state in states if state.events_id == EVENTS_ID and state.status]
    return min(bound, key=lambda status: PaymentStatus(status).rank, default=None)


@EVERY_SCENARIO
def test_every_story_ends_as_it_says(name: str) -> None:
    """The status that a scenario expects is what the pure fold makes of its events."""
    expected = SCENARIOS[name].expected_status
    assert (becomes(told(name)) or "pending") == expected


@EVERY_SCENARIO
def test_a_story_says_the_same_backwards(name: str) -> None:
    """The scenarios are fit to show that order does not matter."""
    assert becomes(told(name)[::-1]) == becomes(told(name))
