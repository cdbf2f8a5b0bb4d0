"""The transitions by the query that makes them and the login that runs it."""

from collections import defaultdict
from collections.abc import Mapping

from sluice.inbox.states import TRANSITIONS, State, Transition
from tests.inbox.rows import Writer


def writer_of(transition: Transition) -> Writer:
    """The query that makes a transition, and the login that runs it."""
    return transition.query, transition.actor.role.removeprefix("sluice_")


WRITERS = sorted({writer_of(transition) for transition in TRANSITIONS})


def listed(writer: Writer) -> Mapping[State | None, set[State]]:
    """Every state that a query may lead to, by the state before it."""
    targets: dict[State | None, set[State]] = defaultdict(set)
    for transition in TRANSITIONS:
        if writer_of(transition) == writer:
            for source, reached in transition.arrows.items():
                targets[source] |= reached
    return targets


def leads(writer: Writer, source: State | None, target: State) -> bool:
    """Whether a query may bring a row from the one state to the other."""
    return target in listed(writer).get(source, set())
