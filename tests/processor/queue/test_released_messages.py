"""Messages that this process left unacknowledged itself are told from what died with another."""

from dataclasses import replace

from processor.queue.released_messages import ReleasedMessages
from processor.worker.batch import plan
from sluice.contract.event import StripeEvent
from sluice.registry import Transaction, handles
from tests.processor.bulkhead.test_side_worker import work_of
from tests.processor.harness import Harness, event


def test_a_message_that_we_left_ourselves_is_no_suspect() -> None:
    """When it comes again it runs in company; delivered more often than we know of, it runs alone."""
    left = ReleasedMessages()
    first = work_of(event())
    left.add([first])
    again = replace(first.message, deliveries=2)
    assert left.take(again) == 2
    left.add([first])
    assert not replace(first, message=again, known_deliveries=left.take(again)).is_redelivered
    left.add([first])
    assert replace(first, message=replace(again, deliveries=3), known_deliveries=left.take(again)).is_redelivered


async def test_what_failed_in_company_before_it_was_left_runs_alone_when_it_comes_again(harness: Harness) -> None:
    """Else a batch that cannot be halved to its end in time would come again whole, for ever."""

    @handles("test.fails", registry=harness.registry)
    async def fail(_: StripeEvent, __: Transaction) -> None:
        raise LookupError

    works = [work_of(event("test.fails")), work_of(event("test.fails"))]
    untried = work_of(event())
    await harness.record(*(work.event for work in (*works, untried)))
    worker = replace(harness.worker(), hold_seconds=0)
    await worker.run([*plan(works), *plan([untried])])
    assert [worker.left.take(work.message) for work in (*works, untried)] == [1, 1, 2]
