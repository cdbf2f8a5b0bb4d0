"""The filter of the page: its fields in an address, and what they ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from multidict import MultiMapping

from console.web.faults import Unfit
from console.web.filter_form import read_filter
from sluice.error_log.entry import KINDS, SEVERITIES

RESOLVED: Mapping[str, bool | None] = {"unresolved": False, "resolved": True, "all": None}
CHOICES: Mapping[str, Sequence[str]] = {"severity": SEVERITIES, "kind": KINDS}
_LONGEST = 100
_OF_A_FILTER = ("id", "handler", "error", "since", "until")


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A person's question about the errors; None: anything.

    Args:
        ids: ids of error rows, and keys of webhooks.
        fields: as they stand in the address.
    """

    ids: Sequence[str]
    resolved: bool | None
    severity: str | None
    service: str | None
    kind: str | None
    handler: str | None
    text: str | None
    since: datetime | None
    until: datetime | None
    fields: Mapping[str, str | Sequence[str]]

    @property
    def is_found_by_index(self) -> bool:
        """Whether an index gives these errors in their order."""
        words = (self.severity, self.service, self.kind, self.handler, self.text)
        return bool(self.ids) or (self.resolved is not True and not any(words))

    @property
    def resolvable(self) -> Mapping[str, object] | None:
        """Filter of ``sluice resolve`` that finds the same; None: there is none so narrow."""
        if self.resolved is not False or self.severity or self.service or self.kind:
            return None
        return {name: value for name, value in self.fields.items() if name in _OF_A_FILTER} or None


def read_asked(given: MultiMapping[str]) -> Asked:
    """
    Read it from the query of an address.

    Raises:
        Unfit: a field holds what can be no value of it.
    """
    form = read_filter(given)
    ids = list(form.chosen.ids)
    shown = given.get("show", "") or ("all" if ids else "unresolved")
    if shown not in RESOLVED:
        raise Unfit("Errors are shown as unresolved, resolved, or all.")
    words = {name: _word(given, name) for name in ("severity", "service", "kind")}
    of_filter = {name: form.fields[name] for name in _OF_A_FILTER if name in form.fields}
    return Asked(
        ids=ids,
        resolved=RESOLVED[shown],
        severity=words["severity"],
        service=words["service"],
        kind=words["kind"],
        handler=form.chosen.handler,
        text=form.chosen.error,
        since=form.chosen.since,
        until=form.chosen.until,
        fields={"show": shown, **{name: word for name, word in words.items() if word is not None}, **of_filter},
    )


def _word(given: MultiMapping[str], name: str) -> str | None:
    word = given.get(name, "").strip()
    if "\0" in word or len(word) > _LONGEST or (word and word not in CHOICES.get(name, (word,))):
        raise Unfit(f"There is no such {name}.")
    return word or None
