from collections import Counter
from collections.abc import Sequence

from sluice.simulator.backoff import HOURS_BETWEEN_ATTEMPTS, pauses
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, Account
from sluice.simulator.day import plan_day
from sluice.simulator.deliveries import Delivery, Reason, ScenarioRun, in_order
from sluice.simulator.demo import DemoEvent

ENDS_AT = 1_900_000_000
TROUBLES = {Reason.NEVER, Reason.OUTAGE, Reason.DISABLED, Reason.THIN}


def demo_events() -> Sequence[DemoEvent]:
    """Rows as the database would give them."""
    return [
        DemoEvent(
            id=f"{number}",
            name=scenario.title,
            expected_status=scenario.expected_status,
            scenario=scenario.name,
            webhook_secret=f"whsec_own{number}" if scenario.account is Account.TENANT else None,
            stripe_account_id=None if scenario.account is Account.PLATFORM else f"acct_{number}",
        )
        for number, scenario in enumerate(SCENARIOS.values())
    ]


def day(seed: int = 3) -> Sequence[Delivery]:
    """A whole day's deliveries."""
    return plan_day("whsec_a,whsec_b", events=demo_events(), seed=seed, ends_at=ENDS_AT)


def test_a_day_is_a_function_of_its_seed() -> None:
    """The same seed makes the same day, another seed another."""
    assert day() == day()
    assert day(3) != day(4)


def test_a_day_holds_every_kind_of_trouble() -> None:
    """Repeats at once, after a lost answer and late, and exactly one forgery, whatever the seed."""
    for seed in range(20):
        reasons = Counter(delivery.reason for delivery in day(seed))
        assert set(reasons) == set(Reason) - TROUBLES
        assert reasons[Reason.FORGERY] == 1


def test_every_event_of_every_story_is_sent_first_once() -> None:
    """Nothing that happens is left out."""
    first = Counter(one.event.stripe_event_id for one in day() if one.reason is Reason.FIRST)
    expected = [
        one.event.stripe_event_id
        for event in demo_events()
        for one in in_order(ScenarioRun.of(event.scenario, event.subject, secret="whsec_a"), seed="3", ends_at=ENDS_AT)
    ]
    assert first == Counter(expected)


def test_a_day_arrives_out_of_order() -> None:
    """One scenario arrives wholly backwards, and others are jostled."""
    created = [
        one.event.created for one in day() if one.scenario == "declined_then_paid" and one.reason is Reason.FIRST
    ]
    assert created == sorted(created, reverse=True)
    jostled = {
        scenario
        for scenario in SCENARIOS
        if (times := [one.event.created for one in day() if one.scenario == scenario]) != sorted(times)
    }
    assert len(jostled) > 3


def test_each_account_has_its_own_address_and_secret() -> None:
    """A tenant's webhooks go to its own URL with its own secret; Connect's to the platform's with the account."""
    for one in day():
        if one.reason is Reason.FORGERY:
            continue
        account = SCENARIOS[one.scenario].account
        own = account is Account.TENANT
        assert one.path.startswith("/api/stripe-webhook/") is own
        assert (one.secrets == ("whsec_a", "whsec_b")) is not own
        assert (b'"account": "acct_' in one.event.body) is (account is Account.CONNECTED)


def test_the_forgery_names_a_real_row_and_promises_money() -> None:
    """It would pay an unpaid row, were it believed; it is signed with none of the endpoint's secrets."""
    forged = next(one for one in day() if one.reason is Reason.FORGERY)
    row = next(event for event in demo_events() if event.scenario == forged.scenario)
    assert row.expected_status == "failed"
    assert f'"event_id": "{row.id}"'.encode() in forged.event.body
    assert b'"payment_status": "paid"' in forged.event.body
    assert not {"whsec_a", "whsec_b"} & set(forged.secrets)
    assert forged.event.stripe_event_id not in {one.event.stripe_event_id for one in day() if one != forged}


def test_a_tenants_story_without_a_row_goes_to_the_platform() -> None:
    """Sent by hand without a database, there is no tenant URL to send to."""
    run = ScenarioRun.of("organiser_paid", Subject("Fête"), secret="whsec_a")
    assert (run.path, run.secrets) == ("/api/stripe-webhook", ("whsec_a",))


def test_no_secret_shows_in_what_a_person_may_print() -> None:
    """A delivery and a demo row may end in a traceback."""
    assert "whsec_" not in repr(day()) + repr(demo_events())


def test_pauses_grow_and_last_three_days_at_most() -> None:
    """Stripe's shape: growing pauses, given up within 72 hours."""
    waits = pauses(seconds_for_an_hour=1)
    assert list(waits) == sorted(waits)
    assert sum(HOURS_BETWEEN_ATTEMPTS) <= 72
