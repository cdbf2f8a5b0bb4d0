"""Operations and webhooks as text of 80 columns."""

from collections.abc import Mapping, Sequence

from sluice.operations.book import Item, Operation

_WITHOUT_ITEMS = ("pause", "resume")


def summary(operation: Operation) -> str:
    """One line on how an operation stands."""
    if operation.verb in _WITHOUT_ITEMS:
        return f"Operation {operation.id} ({operation.verb}) is {operation.progress}."
    left = operation.done - operation.changed - operation.failed
    parts = [f"{operation.changed:,} of {operation.items:,} changed"]
    parts += [f"{operation.failed:,} failed"] if operation.failed else []
    parts += [f"{left:,} left as they were"] if left else []
    parts += [f"{operation.items - operation.done:,} to come"] if operation.items > operation.done else []
    return f"Operation {operation.id} ({operation.verb}) is {operation.progress}: {', '.join(parts)}."


def story(operation: Operation, items: Sequence[Item]) -> str:
    """All that is on record of an operation, with its first items."""
    asked = _asked(operation)
    cancelled = operation.cancelled_at
    lines = [
        summary(operation),
        f"  by        {operation.person} (login {operation.login})",
        f"  reason    {operation.reason}",
        f"  set       {asked or _unasked(operation)}",
        f"  started   {operation.started_at:%Y-%m-%d %H:%M:%S}"
        + (f", at most {operation.rate:,} a second" if operation.rate else ""),
    ]
    lines += [f"  handler   {operation.handler}"] if operation.handler else []
    lines += [f"  newest    {operation.latest_at:%Y-%m-%d %H:%M:%S}"] if operation.latest_at else []
    lines += [f"  ended     {operation.ended_at:%Y-%m-%d %H:%M:%S}"] if operation.ended_at else []
    lines += [f"  cancelled {cancelled:%Y-%m-%d %H:%M:%S} by {operation.cancelled_by}"] if cancelled else []
    lines += [f"  undone    by operation {number}" for number in operation.undone_by]
    return "\n".join([*lines, *(_item(item) for item in items)])


def line(operation: Operation) -> str:
    """One operation of a list."""
    counts = f"{operation.changed:>7,}/{operation.items:<7,}"
    return (
        f"{operation.id:>5}  {operation.started_at:%Y-%m-%d %H:%M}  {operation.verb:<9}  {operation.progress:<9}"
        f"  {_asked(operation) if operation.verb in _WITHOUT_ITEMS else counts}"
        f"  {operation.person}: {operation.reason}"
    )


def _asked(operation: Operation) -> str:
    return "; ".join(f"{name} {_words(value)}" for name, value in operation.filter.items())


def _item(item: Item) -> str:
    became = f"{_state(item.before)} -> {_state(item.after)}" if item.after else _state(item.before)
    error = str((item.after or {}).get("error", ""))
    return f"    {item.item_id}  {item.result or 'to come'}  {error or became}".rstrip()


def _state(told: Mapping[str, object] | None) -> str:
    return "" if told is None else str(told.get("state", ""))


def _unasked(operation: Operation) -> str:
    return "everything" if operation.undoes is None else f"what operation {operation.undoes} changed"


def _words(value: object) -> str:
    return value if isinstance(value, str) else " ".join(str(part) for part in value)  # type: ignore[attr-defined]
