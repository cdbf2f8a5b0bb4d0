"""``make docs`` writes the types of ``sluice/payments`` into docs/event-types.md: the subscriptions and the effects."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from devstack.options import ROOT
from sluice.payments.event_type import EventType
from sluice.payments.families import EVENT_TYPES, FAMILIES

PAGE = Path("docs/event-types.md")
_BEGIN = "<!-- {}: written by `make docs` from sluice/payments. -->\n"
_END = "<!-- The end of the {}. -->\n"


def subscription_list() -> str:
    """The types that any account may subscribe to, a line for each prefix."""
    names = sorted((name for name, known in EVENT_TYPES.items() if not known.is_preview), key=_prefix)
    return "".join(f"- {_quoted(group)}\n" for _, group in groupby(names, key=_prefix))


def effect_table() -> str:
    """Each type and what it says; a row for each effect of a family."""
    rows = (row for family in FAMILIES.values() for row in _rows(family.TYPES))
    return "".join(["| type | says |\n", "|---|---|\n", *rows])


def with_types(page: str) -> str:
    """The page with the types of today between its marks."""
    return _between(_between(page, "subscriptions", subscription_list()), "effects", effect_table())


def _prefix(name: str) -> str:
    return name.rpartition(".")[0]


def _rows(types: Mapping[str, EventType]) -> Iterator[str]:
    by_effect: dict[EventType, list[str]] = {}
    for name, known in types.items():
        by_effect.setdefault(known, []).append(name)
    for known, names in by_effect.items():
        yield f"| {_quoted(names)} | {known.effect}{' (preview)' if known.is_preview else ''} |\n"


def _quoted(names: "Iterator[str] | list[str]") -> str:
    return " ".join(f"`{name}`" for name in names)


def _between(page: str, what: str, written: str) -> str:
    begin, end = _BEGIN.format(what.capitalize()), _END.format(what)
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{written}\n{end}{rest.partition(end)[2]}"


if __name__ == "__main__":
    (ROOT / PAGE).write_text(with_types((ROOT / PAGE).read_text(encoding="utf-8")), encoding="utf-8")
