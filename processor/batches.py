"""Who runs together: pure values, no I/O."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from processor.verdicts import Work


@dataclass(frozen=True, eq=False)
class Batch:
    """Events of one transaction; no id occurs twice."""

    works: tuple[Work, ...]
    alone: bool = False
    """Whether this is one event whose start is committed to its row before it runs."""

    starts: int = 0
    """How many runs alone of this event its row says to have begun and not ended, as far as this process began them."""

    collisions: int = 0
    """How often PostgreSQL ended this very transaction to let another one through."""

    has_waited: bool = False
    """Whether these events, or some that they ran with, have waited for a lock in vain; they wait less now."""

    def begun(self, starts: int) -> "Batch":
        """The same event, of which so many runs alone have begun and not ended."""
        return replace(self, starts=starts)

    def after_collision(self) -> "Batch":
        """The same events once more."""
        return replace(self, collisions=self.collisions + 1)

    def halves(self, *, has_waited: bool = False) -> Sequence["Batch"]:
        """Two batches with half of the events each."""
        middle = len(self.works) // 2
        has_waited = has_waited or self.has_waited
        return tuple(Batch(half, has_waited=has_waited) for half in (self.works[:middle], self.works[middle:]))


def plan(works: Sequence[Work]) -> Sequence[Batch]:
    """Fresh events together first, those tried before after them, and each redelivered one alone at the end."""
    first_seen = [work for work in works if not work.is_redelivered]
    return [
        *_without_repeats(work for work in first_seen if work.attempt == 0),
        *_without_repeats(work for work in first_seen if work.attempt > 0),
        *(run_alone(work) for work in _from_either_end([work for work in works if work.is_redelivered])),
    ]


def _from_either_end(works: Sequence[Work]) -> Sequence[Work]:
    """From the other end every other time, so that one that kills its process holds up nobody more than twice."""
    is_odd = max((work.message.deliveries for work in works), default=0) % 2
    return works[::-1] if is_odd else works


def run_alone(work: Work) -> Batch:
    """A batch of its own for an event that may take its process down."""
    return Batch((work,), alone=True)


def _without_repeats(works: Iterable[Work]) -> Sequence[Batch]:
    """One batch, or several where an id comes twice: the second meets what became of the first."""
    by_id: dict[str, list[Work]] = defaultdict(list)
    for work in works:
        by_id[work.event_id].append(work)
    most = max(map(len, by_id.values()), default=0)
    return [Batch(tuple(same[turn] for same in by_id.values() if turn < len(same))) for turn in range(most)]
