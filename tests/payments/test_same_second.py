"""Which of several words of one second stands: a function of the set of words."""

import time
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contract.document import Json, JsonObject
from sluice.payments import invoice, subscription
from sluice.payments.same_second import MOST_WORDS, Word, last_words, newest
from tests.payments.history import event

PRECEDENCE = subscription.PRECEDENCE


def word(verb: str, status: str = "active", previous: JsonObject | None = None, **fields: Json) -> Word:
    """The word of one event of a subscription."""
    told = event(f"customer.subscription.{verb}", 0, **{"status": status, "previous": previous, **fields})
    return Word.of(told, status)


def stands(*words: Word) -> Word:
    """The word that stands; the same for each order and with repeats."""
    found = newest(words, PRECEDENCE)
    assert all(newest(order, PRECEDENCE) == found for order in permutations(words))
    assert newest([*words, *words], PRECEDENCE) == found
    return found


def test_a_word_that_says_what_was_before_is_newer_whatever_the_statuses() -> None:
    """By precedence alone ``past_due`` would beat the payment that ended it."""
    was = word("updated", "past_due", {"status": "active"})
    paid = word("updated", "active", {"status": "past_due"}, default_payment_method="pm_1")
    late = word("updated", "past_due", latest_invoice="in_2")
    assert stands(late, paid) == paid
    assert stands(word("created", "incomplete"), word("updated", "active", {"status": "incomplete"})).verb == "updated"
    assert stands(word("created", "active"), was, paid) == paid


def test_a_change_that_leaves_the_status_alone_is_newer_too() -> None:
    """An end of the period that was asked for, or taken back, is what the row shows."""
    asked = word("updated", cancel_at_period_end=True, previous={"cancel_at_period_end": False, "cancel_at": None})
    taken_back = word("updated", cancel_at_period_end=False, previous={"cancel_at_period_end": True}, cancel_at=None)
    assert stands(word("created", cancel_at_period_end=False), asked) == asked
    assert stands(asked, taken_back, word("created", cancel_at_period_end=False)) == taken_back


@pytest.mark.parametrize(
    ("previous", "before", "after"),
    [
        ({"metadata": {"seat": "1"}}, {"metadata": {"seat": "1", "row": "a"}}, {"metadata": {"seat": "2", "row": "a"}}),
        ({"metadata": {"seat": None}}, {"metadata": {}}, {"metadata": {"seat": "2"}}),
        ({"pause_collection": None}, {"pause_collection": None}, {"pause_collection": {"behavior": "void"}}),
        (
            {"pause_collection": {"behavior": "void"}},
            {"pause_collection": {"behavior": "void"}},
            {"pause_collection": None},
        ),
        ({"items": {"data": [{"id": "si_1"}]}}, {"items": {"data": [{"id": "si_1"}]}}, {"items": {"data": [7]}}),
        ({"discounts": []}, {"discounts": []}, {"discounts": ["di_1"]}),
        ({"quantity": 1}, {"quantity": 1}, {"quantity": 2}),
        ({"description": "\0\ud800" * 99}, {"description": "\0\ud800" * 99}, {"description": "short"}),
        (
            {"items": {"data": [{"quantity": 1}]}},
            {"items": {"data": [{"id": "si_1", "quantity": 1}]}},
            {"items": {"data": [{"id": "si_1", "quantity": 2}]}},
        ),
    ],
)
def test_attributes_of_every_shape_are_compared(previous: JsonObject, before: JsonObject, after: JsonObject) -> None:
    """Of an inner object Stripe names the changed attributes alone, of a list all of it."""
    older, newer = told(before), told(after, previous)
    assert newer.supersedes(older)
    assert not newer.supersedes(newer)
    assert stands(newer, older) == newer


def told(fields: JsonObject, previous: JsonObject | None = None) -> Word:
    """An update of these fields alone; the ids are such that the older one would win without evidence."""
    read = event("customer.subscription.updated")
    payload: JsonObject = {"data": {"object": fields, "previous_attributes": previous}}
    object.__setattr__(read, "payload", payload)
    object.__setattr__(read, "object", dict(fields))
    return Word.of(read, "active")._replace(stripe_event_id="evt_a" if previous else "evt_z")


@pytest.mark.parametrize(
    ("previous", "shown"),
    [
        ({"pause_collection": None}, {"pause_collection": {"behavior": "void"}}),
        ({"pause_collection": {"behavior": "void"}}, {"pause_collection": None}),
        ({"quantity": 1}, {"quantity": True}),
        ({"quantity": 1}, {"quantity": 2}),
        ({"quantity": 1}, {}),
        ({"quantity": None}, {"quantity": 0}),
        ({"discounts": []}, {"discounts": ["di_1"]}),
        ({"discounts": ["di_1"]}, {"discounts": ["di_1", "di_2"]}),
        ({"discounts": ["di_1"]}, {"discounts": "di_1"}),
        ({"quantity": 1, "status": "active"}, {"quantity": 1, "status": "past_due"}),
        ({}, {}),
    ],
)
def test_what_is_not_shown_was_not_before(previous: JsonObject, shown: JsonObject) -> None:
    """One attribute that differs is enough, and what says nothing supersedes nothing."""
    assert not told({}, previous).supersedes(told(shown))


def test_of_a_word_that_is_not_logged_any_more_the_status_is_compared() -> None:
    """Nothing else is known of it; it supersedes nothing itself."""
    bare = Word("evt_z", "past_due")
    paid = word("updated", "active", {"status": "past_due"})
    assert stands(bare, paid) == paid
    assert not word("updated", "active", {"cancel_at": None}).supersedes(bare)
    assert not bare.supersedes(paid)


def test_a_word_that_no_one_supersedes_is_compared_by_its_status() -> None:
    """Without evidence: created first, deleted last, else the status that stands last, else the greater id."""
    assert stands(word("created", "canceled"), word("updated", "active")).status == "active"
    assert stands(word("deleted", "active"), word("updated", "canceled")).verb == "deleted"
    assert stands(word("updated", "past_due"), word("paused", "active")).status == "past_due"
    assert stands(word("updated", "new_word"), word("updated", "incomplete")).status == "incomplete"
    one, other = word("updated", quantity=1), word("updated", quantity=2)
    assert stands(one, other).stripe_event_id == max(one.stripe_event_id, other.stripe_event_id)


def test_of_two_that_fit_each_other_the_end_of_the_longest_chain_stands() -> None:
    """Active, past due, active again: with the beginning known it is clear, without it the status decides."""
    failed = word("updated", "past_due", {"status": "active"})
    paid = word("updated", "active", {"status": "past_due"})
    assert stands(failed, paid) == failed
    assert stands(word("created", "active"), failed, paid) == paid
    assert stands(word("created", "past_due"), failed, paid) == failed


def test_a_circle_of_three_ends_by_status() -> None:
    """Each supersedes the next: no end of a chain is better than another."""
    circle = [
        word("updated", "trialing", {"status": "past_due"}),
        word("updated", "active", {"status": "trialing"}),
        word("updated", "past_due", {"status": "active"}),
    ]
    assert stands(*circle).status == "past_due"
    assert stands(*circle, word("updated", "unpaid", {"status": "active"}, quantity=3)).status == "unpaid"


def test_an_invoice_that_is_paid_and_updated_in_one_second_is_paid() -> None:
    """``invoice.paid`` carries no previous attributes, and is superseded by nothing that came before it."""
    finalized = event("invoice.updated", status="open", previous={"status": "draft"})
    words = [
        Word.of(told, str(told.object["status"]))
        for told in (event("invoice.created", status="draft"), finalized, event("invoice.paid"))
    ]
    assert {newest(order, invoice.PRECEDENCE).status for order in permutations(words)} == {"paid"}


statuses = st.sampled_from(("incomplete", "trialing", "active", "past_due", "a_new_word"))
words = st.lists(
    st.builds(
        lambda verb, status, was, quantity, event_id: word(
            verb, status, None if was is None else {"status": was}, quantity=quantity
        )._replace(stripe_event_id=f"evt_{event_id}"),
        st.sampled_from(("created", "updated", "paused", "deleted")),
        statuses,
        st.none() | statuses,
        st.integers(1, 2),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda one: one.stripe_event_id,
)


@settings(max_examples=300, deadline=None)
@given(words, st.randoms(use_true_random=False), st.integers(1, 13))
def test_order_repeats_and_batches_do_not_matter(told: list[Word], chance: "Sequence[object]", cut: int) -> None:
    """Nor does it matter that words which are not compared any more have been forgotten in between."""
    shuffled = [*told, *told[:3]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    kept: Sequence[Word] = ()
    for start in range(0, len(shuffled), cut):
        kept = last_words([*kept, *shuffled[start : start + cut]], PRECEDENCE)
    assert newest(kept, PRECEDENCE) == newest(told, PRECEDENCE)
    assert len(kept) <= MOST_WORDS


@settings(max_examples=100, deadline=None)
@given(words)
def test_what_stands_is_superseded_only_in_return(told: list[Word]) -> None:
    """Nothing that clearly came later is hidden."""
    compared = last_words(told, PRECEDENCE)
    found = newest(told, PRECEDENCE)
    for other in compared:
        if other.supersedes(found):
            assert _leads(found, other, compared)


def _leads(start: Word, end: Word, compared: Sequence[Word]) -> bool:
    """Whether one supersedes the other, directly or through others."""
    found, ahead = [start], [start]
    while ahead:
        one = ahead.pop()
        further = [other for other in compared if other not in found and one.supersedes(other)]
        found += further
        ahead += further
    return end in found


def test_a_thousand_words_of_one_second_are_compared_in_no_time() -> None:
    """Only the last ones count, however many are signed."""
    statuses = ("active", "past_due")
    many = [
        word("updated", statuses[one % 2], {"status": statuses[1 - one % 2]})._replace(stripe_event_id=f"evt_{one}")
        for one in range(1000)
    ]
    began = time.process_time()
    newest(many, PRECEDENCE)
    assert time.process_time() - began < 5


def test_a_body_of_any_depth_is_compared_without_an_error() -> None:
    """Whatever a signed body holds."""
    deep: Json = "end"
    for _ in range(100_000):
        deep = [deep]
    assert not told({}, {"deep": deep}).supersedes(told({"deep": deep}))
