"""What this process left unacknowledged itself is told from what died with another."""

from dataclasses import replace

from processor.left import Left
from tests.processor.test_apart import work_of
from tests.processor.workshop import event


def test_a_message_that_we_left_ourselves_is_no_suspect() -> None:
    """When it comes again it runs in company; delivered more often than we know of, it runs alone."""
    left = Left()
    first = work_of(event())
    left.add([first])
    again = replace(first.message, deliveries=2)
    assert left.take(again) == 2
    left.add([first])
    assert not replace(first, message=again, known_deliveries=left.take(again)).is_redelivered
    left.add([first])
    assert replace(first, message=replace(again, deliveries=3), known_deliveries=left.take(again)).is_redelivered
