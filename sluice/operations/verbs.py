"""The verbs: which rows each may change, and how."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from sluice.inbox import operations as inbox
from sluice.inbox.operations import AnyConnection, Decision
from sluice.inbox.states import WAITING, State
from sluice.operations.filters import STATE, Filter, chosen_errors, chosen_webhooks
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "verbs.sql")
DEAD: Final = (State.DEAD, State.UNSUPPORTED)
ENDED: Final = (State.PROCESSED, State.UNFETCHABLE, State.WRITTEN_OFF)

Change: TypeAlias = Callable[[AnyConnection, Collection[str], Decision], Awaitable[Collection[str]]]
"""Changes the rows of these ids that it may change; gives the ids of those that it did change."""

_LOOK_AT_WEBHOOKS = f"""
SELECT stripe_event_id AS item_id, to_jsonb(row) - 'stripe_event_id' AS told
FROM (
    SELECT stripe_event_id, {STATE} AS state, outcome, processing_attempts AS attempts, last_error, next_attempt_at,
           dead_at, processed_at
    FROM webhook_logs WHERE stripe_event_id = ANY ($1::text[])
) AS row
"""  # noqa: S608 - the text is our own


class Verb(StrEnum):
    """Deed of an operation to each of its items."""

    RETRY = "retry"
    REPLAY = "replay"
    WRITE_OFF = "write-off"
    RESOLVE = "resolve"

    @property
    def rules(self) -> "Rules":
        """Rows that it may change, and how."""
        return _RULES[self]


@dataclass(frozen=True)
class Rules:
    """
    Rows that one verb may change, and how.

    Args:
        of_itself: states that it takes where the filter names none.
        if_asked: states that it takes as well where the filter names them.
        changes: what it does to a row, by the row's state.
        look: gives ``item_id`` and ``told`` of the rows with the ids ``$1``.
        hold: locks those of them that no other transaction holds, and gives their ``item_id``.
    """

    changes: Mapping[str, Change]
    of_itself: Sequence[State] = ()
    if_asked: Sequence[State] = ()
    look: str = _LOOK_AT_WEBHOOKS
    hold: str = field(default=QUERIES["hold_webhooks"])

    def states(self, chosen: Filter) -> Sequence[State]:
        """States in which a row is taken."""
        return [state for state in (*self.of_itself, *self.if_asked) if state in (chosen.states or self.of_itself)]

    def choice(self, chosen: Filter) -> str:
        """SQL that gives the rows of a filter that may be changed."""
        return chosen_webhooks(self.states(chosen)) if self.of_itself else chosen_errors(chosen.states)


async def _write_off(session: AnyConnection, ids: Collection[str], decision: Decision) -> Collection[str]:
    changed = await inbox.write_off(session, ids, decision)
    await session.fetch(QUERIES["resolve_errors_of"], list(changed))
    return changed


async def _resolve(session: AnyConnection, ids: Collection[str], decision: Decision) -> Collection[str]:
    del decision  # it stands in the operation
    return {row["item_id"] for row in await session.fetch(QUERIES["resolve"], list(ids))}


def _each(states: Sequence[State], change: Change) -> dict[str, Change]:
    return {str(state): change for state in states}


_RULES: Final[Mapping[Verb, Rules]] = MappingProxyType(
    {
        Verb.RETRY: Rules(_each(WAITING, inbox.retry), WAITING),
        Verb.REPLAY: Rules({**_each(DEAD, inbox.replay), **_each(ENDED, inbox.replay_ended)}, DEAD, ENDED),
        Verb.WRITE_OFF: Rules(_each(DEAD, _write_off), DEAD),
        Verb.RESOLVE: Rules({"unresolved": _resolve}, look=QUERIES["look_at_errors"], hold=QUERIES["hold_errors"]),
    }
)
