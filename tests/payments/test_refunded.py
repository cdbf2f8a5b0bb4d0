"""How much of a payment went back, where a partial capture let go of a hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contract.event import StripeEvent
from sluice.payments.api_version import tells_releases_as_refunds
from sluice.payments.fold import PaymentState, fold
from sluice.payments.reading import facts_of
from tests.payments.history import NOON, PI, charge, dispute, intent, refund

OLD, NEW = "2025-02-24.acacia", "2025-03-31.basil"
HELD, TAKEN, LET_GO = 4900, 3000, 1900


def state(*events: StripeEvent) -> PaymentState:
    """Fold these events into the state of ``pi_1``."""
    return fold(fact for told in events for fact in facts_of(told) if fact.payment_id == PI)


def captured(at: int = 1, back: int = 0, version: str | None = OLD, **fields: object) -> StripeEvent:
    """The charge as it is once a part of the hold was captured; ``back`` as Stripe counts it."""
    told = {"amount": HELD, "amount_captured": TAKEN, "api_version": version, **fields}
    return charge("captured" if at == 1 else "refunded", at, back, **told)  # type: ignore[arg-type]


def returned(refund_id: str, amount: int, made_at: int, version: str | None = OLD, **fields: str) -> StripeEvent:
    """A refund, or what Stripe tells as one."""
    return refund(
        "created", made_at, refund_id=refund_id, amount=amount, created=NOON + made_at, api_version=version, **fields
    )


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("2025-02-24.acacia", True),
        ("2024-06-20", True),
        ("2011-01-01", True),
        ("2025-03-30", True),
        (None, True),
        ("2025-03-31.basil", False),
        ("2025-03-31", False),
        ("2025-03-31.preview", False),
        ("2026-10-28.endive", False),
        ("2025-13-45", False),
        ("fir.2027", False),
        ("20250224", False),
        ("2025-02-24x", False),
    ],
)
def test_releases_are_refunds_until_basil(version: str | None, *, is_old: bool) -> None:
    """Without a version an event is from before 2014; what is no date is of a time to come."""
    assert tells_releases_as_refunds(version) is is_old


@pytest.mark.parametrize(
    ("version", "taken", "counted", "back"),
    [
        (OLD, TAKEN, LET_GO, 0),
        (OLD, TAKEN, LET_GO + 500, 500),
        (OLD, TAKEN, HELD, TAKEN),
        (OLD, TAKEN, 0, 0),
        (OLD, TAKEN, 500, 500),  # the release is not told as a refund yet, or never: what is counted went back
        (OLD, HELD, HELD, HELD),
        (OLD, 0, 0, 0),
        (NEW, TAKEN, 0, 0),
        (NEW, TAKEN, LET_GO, LET_GO),
        (NEW, TAKEN, TAKEN, TAKEN),
        (NEW, HELD, 500, 500),
    ],
)
def test_a_charge_says_how_much_really_went_back(version: str, taken: int, counted: int, back: int) -> None:
    """Until Basil ``amount_refunded`` counts what a partial capture let go, since then real refunds alone."""
    (fact,) = facts_of(captured(1, counted, version, amount_captured=taken))
    assert fact.amount == back
    assert fact.amount_released == (HELD - taken or None)


def test_a_release_is_no_refund_whichever_events_tell_of_it() -> None:
    """The charge by its total, the refund by itself, both, and the intent instead of the charge."""
    release = returned("re_0", LET_GO, 1)
    paid_in_part = intent("succeeded", 1, amount=HELD, amount_received=TAKEN, api_version=OLD)
    for told in (
        [captured(1, LET_GO)],
        [captured(1, 0), release],
        [captured(1, LET_GO), release],
        [paid_in_part, release],
        [captured(1, 0, NEW), release],
        [captured(5, LET_GO), captured(1, 0, NEW), release, paid_in_part],
    ):
        assert state(*told) == PaymentState("paid", TAKEN, 0)  # type: ignore[arg-type]
        assert state(*reversed(told)) == state(*told)


def test_a_real_refund_on_top_of_a_release_counts() -> None:
    """Known by itself, or by the charge's total alone."""
    release, real = returned("re_0", LET_GO, 1), returned("re_1", 500, 5)
    assert state(captured(1, LET_GO), release, real).amount_back == 500
    assert state(captured(1, LET_GO), real).amount_back == 500
    assert state(captured(1, LET_GO), captured(5, LET_GO + 500), release).amount_back == 500
    assert state(captured(1, LET_GO), release, returned("re_1", TAKEN, 5)).status == "refunded"


def test_a_real_refund_of_just_that_amount_counts() -> None:
    """There is one release for a capture, and it is not made after the capture was told of."""
    release, real = returned("re_0", LET_GO, 1), returned("re_1", LET_GO, 5)
    assert state(captured(1, LET_GO), release, real).amount_back == LET_GO
    assert state(captured(1, LET_GO), real).amount_back == LET_GO
    assert state(captured(5, 2 * LET_GO), real).amount_back == LET_GO


def test_a_refund_that_any_event_since_basil_tells_of_is_real() -> None:
    """Two endpoints of two versions tell of one refund; the newer one tells of no release."""
    both = [returned("re_1", LET_GO, 1, version) for version in (OLD, NEW)]
    assert state(captured(1, 0, NEW), *both).amount_back == LET_GO
    assert state(captured(1, 0, NEW), both[1]).amount_back == LET_GO


def test_a_refund_that_failed_is_no_release() -> None:
    """A hold that was let go does not come back."""
    failed = refund("failed", 9, refund_id="re_1", amount=LET_GO, created=NOON + 1, api_version=OLD)
    assert state(captured(1, LET_GO), returned("re_0", LET_GO, 1), failed).amount_back == 0
    assert state(captured(5, 2 * LET_GO), failed).amount_back == 0
    assert state(captured(1, LET_GO), failed, returned("re_2", LET_GO, 1)).amount_back == 0


def test_a_hold_that_is_captured_in_parts_lets_go_of_the_last_rest() -> None:
    """Before the last part nothing was released, though less than all was captured."""
    parts = [
        charge("updated", 1, 0, amount=HELD, amount_captured=1000, api_version=OLD),
        charge("updated", 3, 0, amount=HELD, amount_captured=2000, api_version=OLD),
        charge("captured", 5, LET_GO, amount=HELD, amount_captured=TAKEN, api_version=OLD),
    ]
    release = returned("re_0", LET_GO, 5)
    assert state(*parts, release) == PaymentState("paid", TAKEN, 0)  # type: ignore[arg-type]
    assert state(*parts[:2], returned("re_1", 500, 2)).amount_back == 500
    assert state(*parts, release, returned("re_1", LET_GO, 6)).amount_back == LET_GO


def test_each_charge_has_a_release_of_its_own() -> None:
    """Two charges of one intent, each captured in part."""
    second = {"id": "ch_2", "amount": 1000, "amount_captured": 400}
    told = [captured(1, LET_GO), captured(1, 600, OLD, **second), returned("re_0", LET_GO, 1), returned("re_1", 600, 1)]
    assert state(*told).amount_back == 0
    assert state(*told, returned("re_2", 600, 1)).amount_back == 600


def test_a_release_without_its_capture_counts_until_the_capture_is_known() -> None:
    """Nothing on such a refund tells what it is."""
    release = returned("re_0", LET_GO, 1)
    assert state(release).status == "partially_refunded"
    assert state(release, captured(1, LET_GO)).status == "paid"
    assert state(release, intent("canceled", 1)).status == "canceled"


def test_a_release_hides_no_dispute() -> None:
    """Disputed money is counted as before."""
    assert state(captured(1, LET_GO), returned("re_0", LET_GO, 1), dispute("created", 5)).status == "disputed"


@dataclass(frozen=True)
class Life:
    """A charge's true history, and the events that tell of it, each in the version of some endpoint."""

    back: int
    capture: Sequence[StripeEvent]
    others: Sequence[StripeEvent] = field(default=())


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A hold, a capture of a part or all of it, and refunds, some of just the amount that was let go."""
    taken = draw(st.sampled_from((1900, 3000, 3500, HELD)))
    let_go, back, others = HELD - taken, 0, []
    versions = draw(st.sampled_from(((OLD,), (NEW,), (OLD, NEW))))

    def counted(version: str) -> int:
        return back + (let_go if version == OLD else 0)

    def told(at: int) -> list[StripeEvent]:
        return [captured(at, counted(version), version, amount_captured=taken) for version in versions]

    capture = told(1)
    if let_go and OLD in versions:
        others.append(returned("re_0", let_go, 1))
    for number in range(draw(st.integers(0, 3))):
        amount, made_at = draw(st.sampled_from((let_go or 700, 700, 1100))), 3 + 2 * number
        if back + amount > taken:
            break
        back += amount
        others += [returned(f"re_{number + 1}", amount, made_at, version) for version in versions]
        others += told(made_at)
    return Life(back, capture, others)


@settings(max_examples=400, deadline=None)
@given(lives(), st.data())
def test_what_went_back_is_found_in_any_order_of_any_events(life: Life, data: st.DataObject) -> None:
    """All events tell it exactly; some of them never tell more, as long as one tells of the capture."""
    everything = [*life.capture, *life.others]
    assert state(*data.draw(st.permutations(everything))).amount_back == life.back
    some = data.draw(st.lists(st.sampled_from(everything)))
    witness = data.draw(st.sampled_from([one for one in everything if one.type.startswith("charge.")]))
    assert state(*some, witness).amount_back <= life.back


@settings(max_examples=200, deadline=None)
@given(lives(), st.data())
def test_the_newest_charge_alone_tells_what_went_back(life: Life, data: st.DataObject) -> None:
    """Whatever else is known beside it."""
    charges = [one for one in (*life.capture, *life.others) if one.type.startswith("charge.")]
    some = data.draw(st.lists(st.sampled_from([*life.capture, *life.others])))
    assert state(charges[-1], *some).amount_back == life.back
