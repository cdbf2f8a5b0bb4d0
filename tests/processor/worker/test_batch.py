"""Which events run together."""

from processor.outcome import Work
from processor.worker.batch import Batch, plan
from sluice.contract.event import StripeEvent
from tests.processor.harness import Message, event


def work(of: StripeEvent, *, attempt: int = 0, deliveries: int = 1) -> Work:
    """A message that was read."""
    return Work(of, attempt, Message(of, attempt, deliveries).incoming())


def test_fresh_events_run_first_and_never_with_tried_ones() -> None:
    """An event that failed before must not cost a fresh one its transaction."""
    tried, fresh, other = work(event(), attempt=2), work(event()), work(event())
    assert [batch.works for batch in plan([tried, fresh, other])] == [(fresh, other), (tried,)]


def test_a_redelivered_message_runs_alone_after_all_others() -> None:
    """It may have killed the process that held it."""
    suspect, fresh = work(event(), deliveries=2), work(event())
    batches = plan([suspect, fresh])
    assert [(batch.works, batch.is_isolated) for batch in batches] == [((fresh,), False), ((suspect,), True)]


def test_redelivered_messages_run_from_the_other_end_every_other_time() -> None:
    """One that kills its process each time holds up those before it once, and those behind it once."""
    events = [event() for _ in range(3)]
    for deliveries, expected in ((2, events), (3, events[::-1]), (4, events)):
        batches = plan([work(each, deliveries=deliveries) for each in events])
        assert [batch.works[0].event for batch in batches] == expected


def test_one_that_began_alone_and_never_ended_runs_last() -> None:
    """It is the likeliest to take the process down, and then no other event waits behind it."""
    events = [event() for _ in range(3)]
    for deliveries in (2, 3):
        works = [work(each, deliveries=deliveries) for each in events]
        batches = plan(works, begun={events[1].stripe_event_id})
        assert [batch.works[0].event for batch in batches][-1] == events[1]
        assert [batch.has_begun_before for batch in batches] == [False, False, True]


def test_an_id_that_comes_twice_runs_in_two_transactions() -> None:
    """The second copy meets what became of the first."""
    same, other = event(), event()
    first, second, third = work(same), work(same), work(other)
    assert [set(batch.works) for batch in plan([first, second, third])] == [{first, third}, {second}]


def test_halves_hold_everything_once() -> None:
    """Halving loses and doubles no event."""
    works = tuple(work(event()) for _ in range(7))
    left, right = Batch(works).halves()
    assert left.works + right.works == works


def test_nothing_fetched_is_nothing_to_do() -> None:
    """An empty fetch makes no batch."""
    assert plan([]) == []
