"""A diff as text of 80 columns: by row of events and by payment, before -> after, with a line that sums it up."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final, NamedTuple

import click
import orjson

from sluice.operations.diff import Change, ColumnChange, Diff, JsonValue, RowChange, WebhookChange
from sluice.operations.rehearsals import Rehearsal
from sluice.runtime.printable import printable

WIDTH: Final = 80
_NAME_WIDTH: Final = 26
_HIDDEN: Final = {
    "payment": {"scope", "payment_id", "rank", "awaits"},
    "payment_fact": {"scope", "payment_id", "stripe_event_id"},
    "invoice": {"scope", "invoice_id", "newest_second", "stripe_event_id"},
    "subscription": {"scope", "subscription_id", "newest_second", "stripe_event_id"},
    "events": {"id"},
}
"""Columns that say again what stands elsewhere, or serve Sluice alone; ``--json`` has them."""
_SIGNS: Final = {Change.INSERTED: "+", Change.UPDATED: "~", Change.DELETED: "-"}
_COLOURS: Final = {"+": "green", "-": "red", "!": "red"}
_TABLES: Final = {
    "events": ("row of events", "rows of events"),
    "payment": ("payment", "payments"),
    "payment_fact": ("fact", "facts"),
    "invoice": ("invoice", "invoices"),
    "subscription": ("subscription", "subscriptions"),
    "thin_fetch": ("fetch", "fetches"),
}


class Line(NamedTuple):
    """One line, and the sign that says how it is coloured."""

    text: str
    sign: str = ""


def show(rehearsal: Rehearsal, diff: Diff) -> None:
    """Print a diff; in colour on a terminal."""
    for line in lines(rehearsal, diff):
        click.secho(printable(line.text), fg=_COLOURS.get(line.sign), bold=line.sign == "=")


def lines(rehearsal: Rehearsal, diff: Diff) -> Iterator[Line]:
    """Lines of a whole answer."""
    yield Line(_title(rehearsal), "=")
    for key, rows in _grouped(diff.rows).items():
        yield Line("")
        yield from _group(key, rows)
    yield from _webhooks(diff.webhooks)
    yield from _tables(diff)
    if diff.left_out:
        yield Line("")
        yield from _wrapped(f"Not called, for they act outside PostgreSQL: {', '.join(diff.left_out)}.", "!")
    yield Line("")
    yield from _wrapped(_sum(diff), "=")


def _title(rehearsal: Rehearsal) -> str:
    verb = rehearsal.verb if rehearsal.handler is None else f"run of {rehearsal.handler}"
    count, found = len(rehearsal.items), rehearsal.found
    of = f"the oldest {count:,} of {found:,} webhooks" if found > count else _counted(count, "webhook", "webhooks")
    return f"A {verb} of {of} would change:"


def _grouped(rows: Sequence[RowChange]) -> Mapping[tuple[str, ...], Sequence[RowChange]]:
    """Rows of events first, then payments, invoices and subscriptions, each with its facts."""
    groups: dict[tuple[str, ...], list[RowChange]] = {}
    for row in sorted(rows, key=_order):
        groups.setdefault(_group_of(row), []).append(row)
    return groups


def _group_of(row: RowChange) -> tuple[str, ...]:
    if row.table == "events" or row.key[0] == "events":
        return "events", row.key[0] if row.table == "events" else row.key[1]
    return (row.key[0], row.key[1]) if len(row.key) > 1 else ("thin", row.key[0])


def _order(row: RowChange) -> tuple[bool, tuple[str, ...], bool, Sequence[str]]:
    group = _group_of(row)
    return group[0] != "events", group, row.table == "payment_fact", row.key


def _group(key: tuple[str, ...], rows: Sequence[RowChange]) -> Iterator[Line]:
    """Rows of one payment, or of events, under one heading."""
    yield from _heading(key, rows)
    for row in rows:
        if row.table == "payment_fact":
            yield from _fact(row)
        else:
            yield from _columns(row)


def _heading(key: tuple[str, ...], rows: Sequence[RowChange]) -> Iterator[Line]:
    first = rows[0]
    if key[0] == "events":
        labels = [row.label for row in rows if row.label]
        name = f"events {key[1]}" + (f"  {labels[0]}" if labels else "")
    elif key[0] == "thin":
        name = f"thin event {key[1]}"
    else:
        name = f"{_kind(key[1])} {key[1]}  ({key[0]})"
    sign = _SIGNS[first.change] if first.table != "payment_fact" else "~"
    yield Line(_cut(f"{sign} {name}"), sign)


def _kind(identifier: str) -> str:
    return {"in_": "invoice", "sub": "subscription"}.get(identifier[:3], "payment")


def _columns(row: RowChange) -> Iterator[Line]:
    told = [column for column in row.columns if _is_told(row, column)]
    if row.table not in ("payment", "events") and told:
        yield Line(f"    {row.table}", _SIGNS[row.change])
    for column in told:
        yield from _column(row, column)


def _is_told(row: RowChange, column: ColumnChange) -> bool:
    if column.name in _HIDDEN.get(row.table, ()):
        return False
    return row.change is Change.UPDATED or (column.before or column.after) not in (None, False, "")


def _column(row: RowChange, column: ColumnChange) -> Iterator[Line]:
    before, after = _text(column.before), _text(column.after)
    told = (
        after if row.change is Change.INSERTED else before if row.change is Change.DELETED else f"{before} -> {after}"
    )
    name = f"    {column.name:<{_NAME_WIDTH}}"
    if len(name) + len(told) <= WIDTH or row.change is not Change.UPDATED:
        yield Line(_cut(name + told))
        return
    yield Line(name.rstrip())
    yield Line(_cut(f"      - {before}"), "-")
    yield Line(_cut(f"      + {after}"), "+")


def _fact(row: RowChange) -> Iterator[Line]:
    sign = _SIGNS[row.change]
    told = {column.name: column.after if column.before is None else column.before for column in row.columns}
    amount = f"{told['amount']} {told.get('currency') or ''}" if told.get("amount") is not None else ""
    words = (str(word) for word in (told.get("kind"), told.get("status"), amount) if word)
    yield Line(_cut(f"    {sign} {row.key[2]}  {' '.join(words)}"), sign)


def _webhooks(webhooks: Sequence[WebhookChange]) -> Iterator[Line]:
    if not webhooks:
        return
    yield Line("")
    yield Line("webhooks", "=")
    for webhook in webhooks:
        yield from _webhook(webhook)


def _webhook(webhook: WebhookChange) -> Iterator[Line]:
    outcome = f" ({webhook.outcome})" if webhook.outcome and webhook.problem is None else ""
    fate = webhook.state if webhook.state == webhook.state_before else f"{webhook.state_before} -> {webhook.state}"
    sign = "!" if webhook.problem else ""
    head = f"  {webhook.stripe_event_id}  {webhook.type}"
    if len(f"{head}  {fate}{outcome}") <= WIDTH:
        yield Line(f"{head}  {fate}{outcome}", sign)
    else:
        yield Line(_cut(head), sign)
        yield Line(_cut(f"      {fate}{outcome}"), sign)
    if webhook.problem:
        yield from _wrapped(webhook.problem, sign, indent=6)


def _tables(diff: Diff) -> Iterator[Line]:
    if not diff.tables:
        return
    yield Line("")
    yield Line("other tables, as PostgreSQL counts", "=")
    for table in diff.tables:
        counts = ((table.inserted, "inserted"), (table.updated, "updated"), (table.deleted, "deleted"))
        told = ", ".join(f"{count:,} {word}" for count, word in counts if count)
        yield Line(_cut(f"  {table.table:<{_NAME_WIDTH + 2}}{told}"))


def _sum(diff: Diff) -> str:
    tables = Counter(row.table for row in diff.rows)
    states = Counter(webhook.state for webhook in diff.webhooks)
    told = [_counted(tables[table], *words) for table, words in _TABLES.items() if tables[table]]
    told += [f"{len(diff.tables)} other table{'s' if len(diff.tables) > 1 else ''}"] if diff.tables else []
    rows = ", ".join(told) or "no row"
    fates = ", ".join(f"{count:,} {state}" for state, count in states.most_common()) or "none"
    return f"Nothing was changed. It would be {rows}; webhooks then: {fates}."


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _text(value: JsonValue) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _wrapped(text: str, sign: str, *, indent: int = 0) -> Iterable[Line]:
    space = " " * indent
    folded = wrap(text, WIDTH, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)
    return [Line(part, sign) for part in folded]
