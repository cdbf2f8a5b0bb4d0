"""The filter of ``sluice ls`` as a form: its fields in an address, and the filter that they make."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from multidict import MultiMapping

from console.web.faults import Unfit
from sluice.inbox.states import State
from sluice.operations.filters import Filter
from sluice.ops.operations.options import Moment

_LONGEST = 600
_IDS_AT_MOST = 200
_APART = re.compile(r"[\s,]+")
_STATES: Mapping[str, State] = {str(state): state for state in State}
_SINGLE = {
    "account": "account",
    "organiser": "organiser",
    "outcome": "outcome",
    "object": "object_id",
    "customer": "customer",
    "handler": "handler",
    "error": "error",
    "verified_by": "verified_by",
}
"""Fields with one value, and what the filter calls them."""


@dataclass(frozen=True, slots=True)
class FilterForm:
    """A filter, and the fields that made it, to show them again."""

    chosen: Filter
    fields: Mapping[str, str | Sequence[str]]

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing, so that every webhook is meant."""
        return not self.fields


def read_filter(given: MultiMapping[str]) -> FilterForm:
    """
    Read a filter from the query of an address, or from a form.

    Raises:
        Unfit: a field holds what can be no value of it.
    """
    ids, types = _words(given, "id"), _words(given, "type")
    states = [_state(word) for word in dict.fromkeys(given.getall("state", [])) if word]
    single = {name: text for name in _SINGLE if (text := _text(given, name))}
    times = {name: text for name in ("since", "until") if (text := _text(given, name))}
    chosen = Filter(
        ids=ids,
        types=types,
        states=states,
        since=_moment(times.get("since")),
        until=_moment(times.get("until")),
        **{_SINGLE[name]: text for name, text in single.items()},
    )
    lists = {"id": ids, "type": types, "state": [str(state) for state in states]}
    return FilterForm(chosen, {**{name: value for name, value in lists.items() if value}, **single, **times})


def _words(given: MultiMapping[str], name: str) -> Sequence[str]:
    texts: Iterable[str] = (_checked(text) for text in given.getall(name, []))
    words = list(dict.fromkeys(word for text in texts for word in _APART.split(text) if word))
    if len(words) > _IDS_AT_MOST:
        raise Unfit(f"At most {_IDS_AT_MOST} at once; the command line takes more.")
    return words


def _text(given: MultiMapping[str], name: str) -> str:
    return _checked(given.get(name, "")).strip()


def _checked(text: str) -> str:
    if "\0" in text or len(text) > _LONGEST * 20 or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Unfit("That is no text that PostgreSQL could hold.")
    return text


def _state(word: str) -> State:
    if word not in _STATES:
        raise Unfit("There is no such state.")
    return _STATES[word]


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return Moment().convert(text, None, None)
    except (click.ClickException, OverflowError) as error:
        raise Unfit("A time is such as 2026-11-30, 2026-11-30T09:00Z, or 48h for so long ago.") from error
