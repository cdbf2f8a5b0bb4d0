"""Group webhooks in trouble by what went wrong, whatever ids the errors name. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_HOLE: Final = "\N{HORIZONTAL ELLIPSIS}"
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_STRIPE_ID = r"\b[a-z]{2,8}_(?=[A-Za-z_]*[0-9])[A-Za-z0-9_]{4,}"
_VALUE = re.compile(rf"{_UUID}|{_STRIPE_ID}|[0-9]{{6,}}")
_HANDLER = re.compile(r"in handler (\S+)")
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
class Failing:
    """Webhooks in one state with the very same error."""

    state: str
    error: str | None
    count: int
    first_at: datetime
    last_at: datetime
    next_at: datetime | None
    types: Sequence[str]
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """Webhooks in one state whose errors are the same but for the ids that they name."""

    state: str
    handler: str | None
    error: str | None
    """With an ellipsis for each id; None: nothing is on record."""
    count: int
    first_at: datetime
    last_at: datetime
    next_at: datetime | None
    """When the first of them is tried again."""
    types: Sequence[str]
    example: str
    """Key of one of them."""

    @property
    def verbs(self) -> Sequence[str]:
        """What an operator can do."""
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


def grouped(found: Iterable[Failing]) -> Sequence[Group]:
    """Group them, the gravest state first, the largest group first."""
    groups: dict[tuple[str, str | None], Group] = {}
    for one in found:
        error = None if one.error is None else _VALUE.sub(_HOLE, one.error)
        key = (one.state, error)
        groups[key] = _joined(groups[key], one) if key in groups else _alone(one, error)
    order = list(VERBS)
    return sorted(groups.values(), key=lambda group: (order.index(group.state), -group.count, group.error or ""))


def _alone(one: Failing, error: str | None) -> Group:
    handler = None if error is None else _HANDLER.search(error)
    return Group(
        one.state,
        None if handler is None else handler[1],
        error,
        one.count,
        one.first_at,
        one.last_at,
        one.next_at,
        sorted(one.types),
        one.example,
    )


def _joined(group: Group, one: Failing) -> Group:
    nexts = [at for at in (group.next_at, one.next_at) if at is not None]
    return Group(
        group.state,
        group.handler,
        group.error,
        group.count + one.count,
        min(group.first_at, one.first_at),
        max(group.last_at, one.last_at),
        min(nexts, default=None),
        group.types if set(group.types).issuperset(one.types) else sorted({*group.types, *one.types}),
        group.example,
    )


def _literal(error: str) -> str:
    """The longest part of an error that names no id: what a filter can look for."""
    longest = max(error.split(_HOLE), key=len).strip()
    return longest if len(longest) >= _LEAST_LITERAL else ""
