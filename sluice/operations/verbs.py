"""The verbs: which rows each may change. How it does so is written in the SQL function ``sluice_carry_out``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sluice.inbox.states import WAITING, State
from sluice.operations.filters import Filter, chosen_errors, chosen_webhooks

DEAD: Final = (State.DEAD, State.UNSUPPORTED)
ENDED: Final = (State.PROCESSED, State.UNFETCHABLE, State.WRITTEN_OFF)


class Verb(StrEnum):
    """Deed of an operation to each of its items."""

    RETRY = "retry"
    REPLAY = "replay"
    WRITE_OFF = "write-off"
    RESOLVE = "resolve"

    @property
    def rules(self) -> "Rules":
        """Rows that it may change."""
        return _RULES[self]


@dataclass(frozen=True)
class Rules:
    """
    Rows that one verb may change; without states, those of ``error_logs``.

    Args:
        of_itself: states that it takes where the filter names none.
        if_asked: states that it takes as well where the filter names them.
    """

    of_itself: Sequence[State] = ()
    if_asked: Sequence[State] = ()

    def states(self, chosen: Filter) -> Sequence[State]:
        """States in which a row is taken."""
        return [state for state in (*self.of_itself, *self.if_asked) if state in (chosen.states or self.of_itself)]

    def choice(self, chosen: Filter) -> str:
        """SQL that gives the rows of a filter that may be changed."""
        return chosen_webhooks(self.states(chosen)) if self.of_itself else chosen_errors(chosen.states)


_RULES: Final[Mapping[Verb, Rules]] = MappingProxyType(
    {
        Verb.RETRY: Rules(WAITING),
        Verb.REPLAY: Rules(DEAD, ENDED),
        Verb.WRITE_OFF: Rules(DEAD),
        Verb.RESOLVE: Rules(),
    }
)
