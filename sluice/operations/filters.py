"""Choose webhooks, or error rows, by what is known of them; every value is a parameter, none is part of the SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from sluice.inbox.states import State, state_expression

_WILDCARDS: Final = {"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """
    Each field that is given must hold; what is None, or empty, is not asked.

    Args:
        ids: keys of ``webhook_logs``; of error rows their own ids too.
        types: globs of ``webhook_type``, of which one must match: ``*`` is any text, ``?`` any character.
        organiser: ``events.id`` of the URL that received it.
        since: the first moment of receipt.
        until: the first moment that is too late.
        object_id: the object that the event is about.
        customer: the customer that the object names; each body that the rest leaves is read for it.
        handler: name of the handler that failed.
        error: part of the error's text.
        verified_by: what verified it: a secret's name with its fingerprint, the name alone, or ``api``.
    """

    ids: Collection[str] = ()
    types: Collection[str] = ()
    account: str | None = None
    organiser: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: str | None = None
    object_id: str | None = None
    customer: str | None = None
    handler: str | None = None
    error: str | None = None
    verified_by: str | None = None
    states: Collection[State] = ()

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for anything but states, in which there may be every webhook."""
        return any(getattr(self, field.name) for field in fields(self) if field.name != "states")

    @property
    def parameters(self) -> Sequence[object]:
        """Values for ``$1`` to ``$12`` of the conditions."""
        return (
            list(self.ids) or None,
            [like(glob) for glob in self.types] or None,
            self.account,
            self.organiser,
            self.since,
            self.until,
            self.outcome,
            self.object_id,
            self.customer,
            self.handler,
            self.error,
            self.verified_by,
        )

    def as_json(self) -> Mapping[str, object]:
        """Give what it asks, and nothing of what it does not ask."""
        asked = {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}
        return {name: _plain(value) for name, value in asked.items()}


def like(glob: str) -> str:
    """Translate a glob into a pattern of SQL's LIKE."""
    return "".join(_WILDCARDS.get(letter, letter) for letter in glob)


STATE: Final = state_expression()

_OF_A_WEBHOOK: Final = """
        ($2::text[] IS NULL OR w.webhook_type LIKE ANY ($2))
    AND ($3::text IS NULL OR w.stripe_account_id = $3)
    AND ($4::text IS NULL OR w.tenant = $4)
    AND ($7::text IS NULL OR w.outcome = $7)
    AND ($8::text IS NULL OR w.object_id = $8)
    AND ($12::text IS NULL OR w.verified_by = $12 OR starts_with(w.verified_by, $12 || ':'))
    AND ($9::text IS NULL OR w.object_id = $9
         OR sluice_body_json(sluice_body(w.body, w.body_id)) #>> '{data,object,customer}' = $9)"""

_WEBHOOK_CONDITIONS: Final = f"""
        ($1::text[] IS NULL OR w.stripe_event_id = ANY ($1))
    AND ($5::timestamptz IS NULL OR w.created_at >= $5)
    AND ($6::timestamptz IS NULL OR w.created_at < $6)
    AND ($10::text IS NULL OR strpos(w.last_error || ' ', 'in handler ' || $10 || ' ') > 0)
    AND ($11::text IS NULL OR strpos(w.last_error, $11) > 0)
    AND {_OF_A_WEBHOOK}"""

_ERROR_CONDITIONS: Final = f"""
        ($1::text[] IS NULL OR e.id::text = ANY ($1) OR e.stripe_event_id = ANY ($1))
    AND ($5::timestamptz IS NULL OR e.created_at >= $5)
    AND ($6::timestamptz IS NULL OR e.created_at < $6)
    AND ($10::text IS NULL OR to_jsonb(e.request_data) ->> 'handler' = $10)
    AND ($11::text IS NULL OR strpos(e.message, $11) > 0)
    AND (num_nonnulls($2::text[], $3::text, $4::text, $7::text, $8::text, $9::text, $12::text) = 0 OR EXISTS (
            SELECT FROM webhook_logs AS w WHERE w.stripe_event_id = e.stripe_event_id AND {_OF_A_WEBHOOK}))
    AND NOT e.resolved"""

PARAMETERS: Final = 12
"""How many parameters the conditions have; a statement's own come after them."""


def chosen_webhooks(states: Collection[State]) -> str:
    """SQL that gives item_id, kind, state and created_at of each webhook of a filter that is in one of these states."""
    conditions = "true" if set(states) == set(State) else _one_of(states)
    return f"""
SELECT w.stripe_event_id::text AS item_id, w.webhook_type::text AS kind, {STATE} AS state,
       w.created_at::timestamptz AS created_at, w.id::text AS id, w.processing_attempts AS attempts,
       w.outcome::text AS outcome, w.object_id::text AS object_id, w.last_error::text AS error
FROM webhook_logs AS w
WHERE ({conditions}) AND {_WEBHOOK_CONDITIONS}"""  # noqa: S608 - the text is our own


def _one_of(states: Collection[State]) -> str:
    return " OR ".join(f"({state.condition})" for state in states) or "false"


def chosen_errors(states: Collection[State]) -> str:
    """SQL that gives the same of each unresolved error of a filter; given states, of webhooks in one of them alone."""
    of_states = f"""
    AND EXISTS (
        SELECT FROM webhook_logs AS w WHERE w.stripe_event_id = e.stripe_event_id AND ({_one_of(states)}))"""
    return f"""
SELECT e.id::text AS item_id, e.service::text AS kind, 'unresolved' AS state, e.created_at::timestamptz AS created_at,
       e.id::text AS id, NULL::integer AS attempts, e.severity::text AS outcome, e.stripe_event_id::text AS object_id,
       e.message::text AS error
FROM error_logs AS e
WHERE {_ERROR_CONDITIONS}{of_states if states else ""}"""  # noqa: S608 - the text is our own


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else [str(part) for part in value]  # type: ignore[attr-defined]
