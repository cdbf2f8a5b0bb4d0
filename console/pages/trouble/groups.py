"""A cause of trouble, with the filter that finds its webhooks and the verbs that take them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

HOLE: Final = "\N{HORIZONTAL ELLIPSIS}"
"""Stands for an id in an error."""
_LEAST_LITERAL = 4
_TYPES_SHOWN = 4
VERBS: Final[Mapping[str, Sequence[str]]] = {
    "dead": ("replay", "write-off"),
    "unsupported": ("replay", "write-off"),
    "failed": ("retry",),
    "postponed": ("retry",),
    "parked": ("retry",),
}
"""States in the order in which they are told of, with the verbs that take them."""


@dataclass(frozen=True, slots=True)
class Group:
    """
    Webhooks in one state whose errors are the same but for the ids that they name.

    Args:
        error: with HOLE for each id; None: nothing is on record.
        next_at: when the first of them is tried again.
        example: key of one of them.
        of_state: webhooks in this state, of all groups.
        groups: groups that were found with this one.
    """

    state: str
    handler: str | None
    error: str | None
    count: int
    first_at: datetime
    last_at: datetime
    next_at: datetime | None
    types: Sequence[str]
    example: str
    of_state: int
    groups: int

    @property
    def verbs(self) -> Sequence[str]:
        """Verbs for an operator; none where the filter would find every webhook in the state."""
        return VERBS[self.state] if len(self.fields) > 1 else ()

    @property
    def fields(self) -> Mapping[str, str]:
        """Filter that finds them."""
        given = {"state": self.state, "handler": self.handler or "", "error": _literal(self.error or "")}
        return {name: text for name, text in given.items() if text}

    @property
    def types_shown(self) -> Sequence[str]:
        """The first of their types."""
        return self.types[:_TYPES_SHOWN]


def _literal(error: str) -> str:
    """The longest part of an error that names no id: what a filter can look for."""
    longest = max(error.split(HOLE), key=len).strip()
    return longest if len(longest) >= _LEAST_LITERAL else ""
