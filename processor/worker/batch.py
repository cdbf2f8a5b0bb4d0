"""Plan which events run together: pure values, no I/O."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from processor.outcome import Work


@dataclass(frozen=True, eq=False)
class Batch:
    """Events of one transaction; no id occurs twice."""

    works: tuple[Work, ...]
    is_isolated: bool = False
    """Whether this is one event whose start is committed to its row before it runs."""

    has_begun_before: bool = False
    """Whether an isolated run of this event began before this process had it, and did not end."""

    starts: int = 0
    """How many runs alone of this event its row says to have begun and not ended, as far as this process began them."""

    collisions: int = 0
    """How often PostgreSQL ended this very transaction to let another one through."""

    has_waited: bool = False
    """Whether these events, or some that they ran with, have waited for a lock in vain; they wait less now."""

    reruns: int = 0
    """How often these events missed a deadline because others held the event loop, and ran again for it."""

    def begun(self, starts: int) -> "Batch":
        """The same event, of which so many runs alone have begun and not ended."""
        return replace(self, starts=starts)

    def after_hold(self) -> "Batch":
        """The same events once more, for others held the event loop."""
        return replace(self, reruns=self.reruns + 1)

    def after_collision(self) -> "Batch":
        """The same events once more."""
        return replace(self, collisions=self.collisions + 1)

    def apart_from(self, event_id: str) -> Sequence["Batch"]:
        """One event by itself, then the others."""
        one = tuple(work for work in self.works if work.event_id == event_id)
        rest = tuple(work for work in self.works if work.event_id != event_id)
        return tuple(replace(self, works=works) for works in (one, rest) if works)

    def halves(self, *, has_waited: bool = False) -> Sequence["Batch"]:
        """Two batches with half of the events each."""
        middle = len(self.works) // 2
        has_waited = has_waited or self.has_waited
        return tuple(Batch(half, has_waited=has_waited) for half in (self.works[:middle], self.works[middle:]))


BATCH_BYTES = 2 * 1024 * 1024
BATCH_FACTS = 4_000
"""Bodies of one transaction, and about how much they say; one event is alone past that."""

_SHORT_BYTES = 8 * 1024


def about_facts(work: Work) -> int:
    """
    About how many facts an event makes, told by its bytes alone.

    Lists of payments make many, and each is an object that names an intent; who hides that key counts for it.
    """
    body = work.event.body
    if len(body) < _SHORT_BYTES:  # as nearly all are; counting would cost more than it is worth
        return 1
    return 1 + body.count(b"payment_intent") + body.count(b"\\")


def plan(works: Sequence[Work], *, begun: Collection[str] = ()) -> Sequence[Batch]:
    """
    Fresh events together first, those tried before after them, and each redelivered one alone at the end.

    Args:
        begun: redelivered ones of which a run alone began and never ended, as one does that kills its process; last.
    """
    first_seen = [work for work in works if not work.is_redelivered]
    suspects = _from_either_end([work for work in works if work.is_redelivered])
    return [
        *_without_repeats(work for work in first_seen if work.attempt == 0),
        *_without_repeats(work for work in first_seen if work.attempt > 0),
        *(run_isolated(work) for work in suspects if work.event_id not in begun),
        *(run_isolated(work, has_begun_before=True) for work in suspects if work.event_id in begun),
    ]


def _from_either_end(works: Sequence[Work]) -> Sequence[Work]:
    """From the other end every other time, so that one that kills its process holds up others at most twice."""
    is_odd = max((work.message.deliveries for work in works), default=0) % 2
    return works[::-1] if is_odd else works


def run_isolated(work: Work, *, has_begun_before: bool = False) -> Batch:
    """A batch of its own for an event that may take its process down."""
    return Batch((work,), is_isolated=True, has_begun_before=has_begun_before)


def _without_repeats(works: Iterable[Work]) -> Sequence[Batch]:
    """One batch, or several where an id comes twice: the second meets what became of the first."""
    worker = _one_of_each(works)
    return [Batch(part) for together in worker for part in _by_weight(together)]


def _by_weight(works: Sequence[Work]) -> Iterator[tuple[Work, ...]]:
    """Parts that are not too much together: too long, or too many facts."""
    part: list[Work] = []
    held = facts = 0
    for work in works:
        body_bytes, says = len(work.event.body), about_facts(work)
        if part and (held + body_bytes > BATCH_BYTES or facts + says > BATCH_FACTS):
            yield tuple(part)
            part, held, facts = [], 0, 0
        part.append(work)
        held += body_bytes
        facts += says
    if part:
        yield tuple(part)


def _one_of_each(works: Iterable[Work]) -> Sequence[Sequence[Work]]:
    """The works such that no id occurs twice in one row of them."""
    works = list(works)
    if len({work.event_id for work in works}) == len(works):
        return [works] if works else []
    by_id: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_id[work.event_id].append(work)
    most = max(map(len, by_id.values()), default=0)
    return [[same[turn] for same in by_id.values() if turn < len(same)] for turn in range(most)]
