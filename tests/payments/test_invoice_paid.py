"""An invoice that Stripe calls paid pays its row once, by whichever of its events come."""

from itertools import combinations, permutations

import pytest

from sluice.contract.document import JsonObject
from sluice.contract.event import StripeEvent
from tests.payments.harness import Harness
from tests.payments.history import INVOICE, PI, event, intent, names, refund
from tests.payments.strategies import HARBOUR

_RECORD: JsonObject = {"type": "payment_record", "payment_record": "pr_1"}
_ELSEWHERE: JsonObject = {"type": "out_of_band_payment", "out_of_band_payment": {"amount": 4900}}

INVOICE_PAID = event("invoice.paid", 2, metadata=names(HARBOUR))
WAYS = {
    "by a card": [INVOICE_PAID, event("invoice_payment.paid", 2), intent("succeeded", 2)],
    "by a card, before Basil": [
        event("invoice.paid", 2, like="invoice.paid.acacia", metadata=names(HARBOUR)),
        intent("succeeded", 2, invoice=INVOICE),
    ],
    "by a payment record": [INVOICE_PAID, event("invoice_payment.paid", 2, payment=_RECORD)],
    "out of band": [INVOICE_PAID, event("invoice_payment.paid", 2, payment=_ELSEWHERE)],
    "out of band after a failed card": [
        intent("payment_failed", 1, invoice=INVOICE),
        intent("canceled", 1, invoice=INVOICE),
        INVOICE_PAID,
    ],
    "under the older name": [event("invoice.payment_succeeded", 2, metadata=names(HARBOUR))],
    "of before 2018": [event("invoice.payment_succeeded", 2, status=None, paid=True, metadata=names(HARBOUR))],
    "with a status that is not known": [event("invoice.paid", 2, status="settled", metadata=names(HARBOUR))],
}


def _subsets(told: list[StripeEvent]) -> list[tuple[StripeEvent, ...]]:
    """Every set of these events that has the invoice's own word, in every order."""
    word = [one for one in told if one.type.startswith("invoice.")]
    others = [one for one in told if one not in word]
    sets = [[*word, *some] for size in range(len(others) + 1) for some in combinations(others, size)]
    return [order for one in sets for order in permutations(one)]


@pytest.mark.parametrize("way", WAYS)
async def test_a_paid_invoice_pays_its_row_whichever_events_come(harness: Harness, way: str) -> None:
    """In every order, and with any of the events of the payment missing."""
    for order in _subsets(WAYS[way]):
        undo = harness.tx.transaction()
        await undo.start()
        await harness.apply_each(*order)
        assert (await harness.shown())[0] == "paid", [one.type for one in order]
        shown = await harness.tx.fetchval("SELECT count(*) FROM payment WHERE rank = 1 AND events_id = $1", HARBOUR)
        assert shown == 1, [one.type for one in order]
        await undo.rollback()


async def test_a_refunded_invoice_is_refunded(harness: Harness) -> None:
    """The payment below speaks for the invoice, which says paid for ever."""
    told = [INVOICE_PAID, event("invoice_payment.paid", 2), intent("succeeded", 2), refund("created", 5, amount=4900)]
    for order in permutations(told):
        undo = harness.tx.transaction()
        await undo.start()
        await harness.apply_each(*order)
        status, payment = await harness.shown()
        assert (status, payment) == ("refunded", PI)
        await undo.rollback()


async def test_a_row_that_a_silent_invoice_leaves_gets_back_what_it_said(harness: Harness) -> None:
    """The payment names another row, and speaks for the invoice from then on."""
    await harness.apply(INVOICE_PAID)
    assert await harness.shown() == ("paid", INVOICE)
    await harness.add_row("00000000-0000-4000-8000-0000000000aa")
    await harness.apply(
        event("invoice_payment.paid", 2), intent("succeeded", metadata=names("00000000-0000-4000-8000-0000000000aa"))
    )
    assert await harness.shown() == ("pending", None)


async def test_an_invoice_that_is_only_open_pays_nothing(harness: Harness) -> None:
    """Finalised, sent, overdue, voided: a link and no payment."""
    for verb in ("finalized", "sent", "overdue", "voided", "payment_failed", "marked_uncollectible"):
        await harness.apply(event(f"invoice.{verb}", 2, status="open", metadata=names(HARBOUR)))
    assert await harness.shown() == ("pending", None)
