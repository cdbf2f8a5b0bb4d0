"""Handlers that processors have, and the webhooks that one of them may be run over by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase

from sluice.inbox.operations import AnyConnection
from sluice.inbox.states import State
from sluice.operations.filters import Filter, chosen_webhooks
from sluice.postgres.sql import load_queries

QUERIES = load_queries(__file__, "handlers.sql")
HISTORY = (State.PROCESSED,)
"""States whose webhooks a handler is run over where the filter names none."""
_ALLOWED = (*HISTORY, State.WRITTEN_OFF)


@dataclass(frozen=True, slots=True)
class KnownHandler:
    """One handler that a processor has, or had."""

    name: str
    types: Sequence[str]
    organiser_types: Sequence[str]
    """Those of its types that it takes of organisers too."""
    acts_outside: bool
    """Whether it says that it has effects outside PostgreSQL."""
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class HandlerRun:
    """
    One handler by itself over stored webhooks.

    Args:
        earlier: operations that ran this handler.
        again: also over webhooks that it has had: those processed since a processor first had it, and those that an
            earlier operation gave it.
    """

    handler: KnownHandler
    earlier: Sequence[int] = ()
    again: bool = False

    def narrowed(self, chosen: Filter) -> Filter:
        """The same filter, of the handler's types alone."""
        globs = chosen.types or ["*"]
        types = [name for name in self.handler.types if any(fnmatchcase(name, glob) for glob in globs)]
        return replace(chosen, types=types or ["-"])  # no type is called so

    def choice(self, chosen: Filter) -> str:
        """SQL that gives the webhooks of a narrowed filter."""
        return f"""
SELECT choice.*
FROM ({chosen_webhooks(history_states(chosen))}) AS choice
JOIN webhook_logs AS own ON own.stripe_event_id = choice.item_id
WHERE (own.body IS NOT NULL OR own.body_id >= (SELECT kept_from FROM body_storage))
  AND {self._of_organisers()} AND {self._not_had()}"""  # noqa: S608 - the text is our own

    def _of_organisers(self) -> str:
        """Types are words of Stripe's, and of the code."""
        types = ", ".join(f"'{name}'" for name in self.handler.organiser_types if "'" not in name)
        return f"(own.tenant IS NULL OR own.webhook_type IN ({types}))" if types else "own.tenant IS NULL"

    def _not_had(self) -> str:
        if self.again:
            return "true"
        operations = ", ".join(str(int(number)) for number in self.earlier) or "0"
        return f"""
coalesce(own.processed_at, own.created_at) < timestamptz '{self.handler.first_seen_at.isoformat()}'
AND NOT EXISTS (
    SELECT FROM operation_item AS had
    WHERE had.item_id = choice.item_id AND had.operation_id IN ({operations}) AND had.result = 'changed')"""


def history_states(chosen: Filter) -> Sequence[State]:
    """States in which a handler by itself takes a webhook."""
    return [state for state in _ALLOWED if state in (chosen.states or HISTORY)]


async def known_handlers(session: AnyConnection) -> Sequence[KnownHandler]:
    """Read the handlers that processors have, or had within a month, by name."""
    return [KnownHandler(**row) for row in await session.fetch(QUERIES["known"])]


async def handler_run(session: AnyConnection, name: str, *, again: bool = False) -> HandlerRun | None:
    """Prepare a run of one handler; None: no processor has one of this name."""
    found = [handler for handler in await known_handlers(session) if handler.name == name]
    if not found:
        return None
    earlier = [row["id"] for row in await session.fetch(QUERIES["earlier"], name)]
    return HandlerRun(found[0], earlier, again)
