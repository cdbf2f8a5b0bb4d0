"""A payment's status is a function of the set of facts known of it."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings

from sluice.contract.event import StripeEvent
from sluice.payments.facts import Fact, FactKind
from sluice.payments.fold import fold
from sluice.payments.reading import facts_of
from sluice.payments.recompute import Node, NodeState, settle
from sluice.payments.status import PaymentStatus
from tests.payments.history import NOON, PI, charge, dispute, event, intent, refund, session
from tests.payments.strategies import any_event, histories, retold


def known(events: Iterable[StripeEvent]) -> dict[Node, list[Fact]]:
    """All facts of these events, by what they are about."""
    book: dict[Node, list[Fact]] = {}
    for told in events:
        for fact in facts_of(told):
            book.setdefault(Node(told.scope, fact.payment_id), []).append(fact)
    return book


def status(*events: StripeEvent) -> str | None:
    """The status of ``pi_1`` after these events."""
    return fold(fact for told in events for fact in facts_of(told) if fact.payment_id == PI).status


def states(events: Iterable[StripeEvent]) -> dict[Node, NodeState]:
    """Everything that these events make of everything."""
    return settle(known(events), {})


@settings(max_examples=400, deadline=None)
@given(retold())
def test_order_and_repeats_do_not_matter(told: tuple[list[StripeEvent], list[StripeEvent]]) -> None:
    """Any permutation with any duplicates of any history of all families ends in the same states."""
    history, again = told
    assert states(history) == states(again)


@settings(max_examples=200, deadline=None)
@given(histories, any_event)
def test_nothing_unpays_but_money_that_went_back(history: list[StripeEvent], later: StripeEvent) -> None:
    """Once the intent succeeded, only what a bank takes or a refund returns changes that, whatever else is said."""
    told = (intent("succeeded"), *history, later)
    state = fold(fact for each in told for fact in facts_of(each) if fact.payment_id == PI)
    is_taken_back = state.amount_back > 0 or state.status in ("disputed", "charged_back")
    assert state.status == "paid" or is_taken_back


@pytest.mark.parametrize("verb", ["payment_failed", "processing", "requires_action", "canceled", "created"])
def test_a_late_word_never_unpays(verb: str) -> None:
    """An event after the money, or told after it, is history."""
    assert status(intent("succeeded", 1), intent(verb, 9)) == "paid"


@pytest.mark.parametrize("verb", ["async_payment_failed", "expired"])
def test_a_session_that_ends_badly_never_beats_the_money(verb: str) -> None:
    """``expired`` must not beat ``paid``."""
    assert status(intent("succeeded", 1), session(verb, 9, "unpaid")) == "paid"


def test_a_failure_is_not_the_end() -> None:
    """The same intent may succeed afterwards, and another attempt may be under way."""
    assert status(intent("payment_failed", 1)) == "failed"
    assert status(intent("payment_failed", 1), intent("processing", 2)) == "processing"
    assert status(intent("processing", 1), intent("payment_failed", 2)) == "failed"


def test_within_one_second_the_further_word_wins() -> None:
    """Failed < requires_action < processing < authorized, and what is final beats what passes."""
    words = [intent(verb) for verb in ("payment_failed", "requires_action", "processing", "amount_capturable_updated")]
    assert [status(*words[: count + 1]) for count in range(4)] == [
        "failed",
        "requires_action",
        "processing",
        "authorized",
    ]
    assert status(*words, intent("canceled")) == "canceled"
    assert status(*words, intent("canceled"), intent("succeeded")) == "paid"


def test_canceled_and_expired_are_final_for_what_was_not_paid() -> None:
    """A later passing word does not bring an intent back to life."""
    assert status(intent("canceled", 1), intent("processing", 5)) == "canceled"
    assert status(session("expired", 1, "unpaid"), intent("payment_failed", 5)) == "expired"


def test_a_session_that_completes_unpaid_does_not_hide_a_hold() -> None:
    """With manual capture the session says ``unpaid`` a moment after the money was held."""
    assert status(intent("amount_capturable_updated", 1), session("completed", 2, "unpaid")) == "authorized"
    assert status(intent("payment_failed", 1), session("completed", 2, "unpaid")) == "processing"


def test_nothing_known_is_pending() -> None:
    """A new intent is pending; what only links is no payment at all."""
    assert status(intent("created")) == "pending"
    assert status(event("invoice.paid", like="invoice.paid.acacia")) is None
    assert fold(()).status is None


def test_any_proof_of_capture_is_payment() -> None:
    """The charge, the invoice's payment, a refund or a dispute arrive before, or without, the intent's own word."""
    assert status(charge("succeeded")) == "paid"
    assert status(event("invoice_payment.paid")) == "paid"
    assert status(refund("created", status="failed")) == "paid"
    assert status(dispute("closed", status="won")) == "paid"
    assert status(intent("payment_failed", 5), charge("captured")) == "paid"


def test_refunds_add_up() -> None:
    """Part by part until nothing is left; each refund counts once, however often it is told."""
    paid = intent("succeeded")
    first, second = refund("created", 5, amount=1900), refund("created", 6, refund_id="re_2", amount=3000)
    assert status(paid, first) == "partially_refunded"
    assert status(paid, first, first, refund("updated", 7, amount=1900)) == "partially_refunded"
    assert status(paid, first, second) == "refunded"


def test_a_charge_that_tells_of_refunds_is_enough() -> None:
    """``charge.refunded`` carries no refunds; its total counts, and does not count twice."""
    paid = intent("succeeded")
    assert status(paid, charge("refunded", 5, back=1900)) == "partially_refunded"
    assert status(paid, charge("refunded", 5, back=1900), refund("created", 5, amount=1900)) == "partially_refunded"
    assert status(paid, charge("refunded", 5, back=4900)) == "refunded"


def test_a_failed_refund_is_reversed() -> None:
    """Also where the charge still counts it, and also within the second of its creation."""
    paid, told = intent("succeeded"), charge("refunded", 5, back=4900)
    assert status(paid, told, refund("created", 5), refund("failed", 9)) == "paid"
    assert status(paid, told, refund("created", 5), refund("failed", 5)) == "paid"
    assert status(paid, refund("created", 5), refund("updated", 6, status="canceled")) == "paid"
    assert status(paid, refund("failed", 5), refund("updated", 5, status="succeeded")) == "paid"


def test_a_refund_that_failed_before_the_charge_spoke_is_not_taken_off_again() -> None:
    """A charge that was told of after the failure has left it out itself."""
    failed = refund("failed", 5, created=NOON + 4)
    assert status(intent("succeeded"), failed, charge("refunded", 9, back=4900)) == "refunded"


def test_a_refund_made_after_the_charge_spoke_is_not_taken_off() -> None:
    """That charge counts another refund."""
    failed = refund("failed", 9, created=NOON + 7)
    assert status(intent("succeeded"), charge("refunded", 5, back=1900), failed) == "partially_refunded"


def test_zero_amounts_are_paid_and_stay_so() -> None:
    """Nothing of nothing went back."""
    free = session("completed", payment_status="no_payment_required", amount_total=0)
    assert status(free) == "paid"
    assert status(free, charge("refunded", 5, amount=0, amount_captured=0)) == "paid"


def test_a_released_hold_is_no_refund() -> None:
    """Stripe tells of a canceled hold as a refund of a charge that was never captured."""
    held = charge("succeeded", captured=False, amount_captured=0)
    released = charge("refunded", 5, back=4900, captured=False, refunded=True, amount_captured=0)
    assert status(held, released) == "canceled"
    assert status(held, released, intent("canceled", 5), refund("created", 5)) == "canceled"


def test_an_open_dispute_comes_first() -> None:
    """Before refunds, and whatever else is known."""
    paid = [intent("succeeded"), refund("created", 2)]
    for open_status in ("needs_response", "under_review", "appeal_under_review", "something_new"):
        assert status(*paid, dispute("created", 5, open_status)) == "disputed"


def test_a_won_dispute_restores() -> None:
    """Also a prevented one: what was before is again."""
    for end in ("won", "prevented"):
        assert status(intent("succeeded"), dispute("created", 5), dispute("closed", 9, end)) == "paid"
        assert (
            status(refund("created", 2), intent("succeeded"), dispute("closed", 5, end), dispute("updated", 5))
            == "refunded"
        )


def test_a_lost_dispute_charges_back() -> None:
    """Even where part of the money had been refunded before."""
    history = [intent("succeeded"), refund("created", 2, amount=1900), dispute("created", 5)]
    assert status(*history, dispute("closed", 9, "lost")) == "charged_back"
    assert (
        status(*history, dispute("closed", 9, "lost"), dispute("funds_withdrawn", 9, "under_review")) == "charged_back"
    )
    assert status(*history, dispute("closed", 9, "lost"), dispute("updated", 11, "appeal_under_review")) == "disputed"


def test_each_dispute_has_its_own_fate() -> None:
    """One won, one open."""
    assert status(dispute("closed", 9, "won"), dispute("created", 5, id="du_2")) == "disputed"


@pytest.mark.parametrize("inquiry", ["warning_needs_response", "warning_under_review", "warning_closed"])
def test_an_inquiry_changes_nothing(inquiry: str) -> None:
    """A bank that asks has taken nothing, and proves nothing."""
    assert status(intent("succeeded"), dispute("created", 5, inquiry)) == "paid"
    assert status(intent("processing"), dispute("created", 5, inquiry)) == "processing"
    assert status(intent("succeeded"), dispute("created", 5, inquiry), dispute("updated", 9)) == "disputed"


def test_ranks_follow_the_order_of_an_events_row() -> None:
    """A row with several payments shows them in this order."""
    assert sorted(PaymentStatus, key=lambda one: one.rank) == [
        "disputed", "paid", "partially_refunded", "charged_back", "refunded", "authorized", "processing",
        "requires_action", "failed", "canceled", "expired", "pending",
    ]  # fmt: skip


def test_a_kind_of_a_later_release_is_only_a_link() -> None:
    """During a rolling update an older processor meets facts that it does not know."""
    assert FactKind.known("instalment") is FactKind.LINK
