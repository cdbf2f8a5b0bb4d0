"""The difference that a run of handlers would make, as values that can be shown and sent; pure, no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import orjson

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"


class Change(StrEnum):
    """Fate of a row."""

    INSERTED = "inserted"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """One column of a row that is not any more what it was; None: NULL, or no row."""

    name: str
    before: JsonValue
    after: JsonValue


@dataclass(frozen=True, slots=True)
class RowChange:
    """
    One row of Sluice's own tables, or of ``events``.

    Of columns that hold no more than when the row was written nothing is told.
    """

    table: str
    key: Sequence[str]
    """Of a payment, invoice or subscription (scope, id); of a fact (scope, payment, stripe_event_id); else one id."""
    change: Change
    columns: Sequence[ColumnChange]
    label: str | None = None
    """How people call it: the name of an ``events`` row."""


@dataclass(frozen=True, slots=True)
class WebhookChange:
    """One webhook that was run."""

    stripe_event_id: str
    type: str
    state_before: str
    state: str
    """What it would be then, by ``sluice.inbox.states``."""
    outcome: str | None = None
    problem: str | None = None
    """Why its handlers failed, or what it waits for."""


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of another table, as PostgreSQL counts them: a row that is written twice counts twice."""

    table: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Diff:
    """The difference that a retry or a replay of these webhooks would make, had it run at that moment."""

    webhooks: Sequence[WebhookChange] = ()
    rows: Sequence[RowChange] = ()
    tables: Sequence[TableCount] = ()
    """Tables of which rows are not told in full; Sluice's own are among them where more was written than is told."""
    left_out: Sequence[str] = ()
    """Handlers that were not called, because they say that they act outside PostgreSQL."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the webhooks' own rows would change."""
        return not self.rows and not self.tables

    def as_json(self) -> str:
        """As text for a column of type jsonb."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Diff":
        """Read it again."""
        told: Mapping[str, Any] = orjson.loads(text)
        return cls(
            webhooks=[WebhookChange(**one) for one in told["webhooks"]],
            rows=[_row(one) for one in told["rows"]],
            tables=[TableCount(**one) for one in told["tables"]],
            left_out=told["left_out"],
        )


def _row(told: Mapping[str, Any]) -> RowChange:
    columns = [ColumnChange(**one) for one in told["columns"]]
    return RowChange(**{**told, "change": Change(told["change"]), "columns": columns})
