"""
Which of several words of one second is the newest: a pure function of the set of words.

Stripe's clock has whole seconds. An ``…updated`` event carries ``data.previous_attributes``: what the attributes that
it changed were before. A word whose ``previous_attributes`` are what another one shows supersedes it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from sluice.contract.document import Json, JsonObject
from sluice.contract.event import StripeEvent
from sluice.payments.values import child

MOST_WORDS = 8
"""So many words of a second are compared: those that stand last in their order."""
_MOST_LEAVES = 200
_NEVER_CHANGE = frozenset({"id", "object", "created", "livemode"})
_PLAIN = re.compile(r"[\x20-\x7e]{1,24}")
_PLACES: Mapping[str, int] = {"created": -1, "deleted": 1}

Leaves = Mapping[str, str | None]
"""Attributes of an object by path, of two levels at most; long values are digests; None: there is no such attribute."""


class Word(NamedTuple):
    """What one event says of an object, as far as it is compared with others of its second."""

    stripe_event_id: str
    verb: str
    """The last word of the event's type."""
    status: str
    shows: Leaves
    replaces: Leaves
    """Its ``previous_attributes``."""

    @classmethod
    def of(cls, event: StripeEvent, status: str) -> "Word":
        """What this event says; the status is what was made of its object's."""
        return cls(
            stripe_event_id=event.stripe_event_id,
            verb=event.type.rpartition(".")[2],
            status=status,
            shows={path: value for path, value in _leaves(event.object) if value is not None},
            replaces=dict(_leaves(child(event.payload, "data", "previous_attributes"))),
        )

    def supersedes(self, other: "Word") -> bool:
        """Whether the other one shows all that this one says there was before."""
        return bool(self.replaces) and all(_is_in(other.shows, path, value) for path, value in self.replaces.items())


def _is_in(shows: Leaves, path: str, value: str | None) -> bool:
    if value is not None:
        return shows.get(path) == value
    return path not in shows and not any(shown.startswith(f"{path}.") for shown in shows)


def newest(words: Collection[Word], precedence: Sequence[str]) -> Word:
    """
    The word that stands, of one or more of the same second.

    A word that is superseded, by another or through others, is out; where words supersede each other in a circle, the
    ends of the longest chain stay. Of what is left the last one counts: see ``last_words``.
    """
    compared = last_words(words, precedence)
    return max(_ends(compared), key=lambda word: _order(word, precedence))


def last_words(words: Collection[Word], precedence: Sequence[str]) -> Sequence[Word]:
    """
    At most ``MOST_WORDS``, the last ones: ``created`` before all other types and ``deleted`` after them, then by
    precedence of the status, then by id.
    """
    once = {word.stripe_event_id: word for word in words}.values()
    return sorted(once, key=lambda word: _order(word, precedence))[-MOST_WORDS:]


def _order(word: Word, precedence: Sequence[str]) -> tuple[int, int, str]:
    place = precedence.index(word.status) if word.status in precedence else -1
    return _PLACES.get(word.verb, 0), place, word.stripe_event_id


def _ends(words: Sequence[Word]) -> Collection[Word]:
    everyone = range(len(words))
    superseded = [frozenset(b for b in everyone if a != b and words[a].supersedes(words[b])) for a in everyone]
    below = [_reached(superseded, a) for a in everyone]
    standing = [a for a in everyone if all(b in below[a] for b in everyone if a in below[b])]

    @cache
    def longest_chain(last: int, used: frozenset[int]) -> int:
        """How many words can stand in a row, each superseding the one before it, with this one as the last."""
        chained = used | {last}
        return 1 + max((longest_chain(one, chained) for one in superseded[last] - chained), default=0)

    def is_end(a: int) -> bool:
        circle = [b for b in below[a] if a in below[b]]
        return all(longest_chain(a, frozenset()) >= longest_chain(b, frozenset()) for b in circle)

    return [words[a] for a in standing if is_end(a)]


def _reached(superseded: Sequence[frozenset[int]], start: int) -> frozenset[int]:
    """All that this one supersedes, directly or through others."""
    found: set[int] = set()
    ahead = set(superseded[start])
    while ahead:
        found |= ahead
        ahead = {further for one in ahead for further in superseded[one]} - found
    return frozenset(found)


def _leaves(thing: JsonObject) -> Iterator[tuple[str, str | None]]:
    return islice(_all_leaves(thing), _MOST_LEAVES)


def _all_leaves(thing: JsonObject) -> Iterator[tuple[str, str | None]]:
    for name, value in thing.items():
        if name in _NEVER_CHANGE:
            continue
        if isinstance(value, Mapping):
            for inner, leaf in value.items():
                yield f"{_brief(name)}.{_brief(inner)}", _brief_json(leaf)
        else:
            yield _brief(name), _brief_json(value)


def _brief_json(value: Json) -> str | None:
    if value is None:
        return None
    try:
        return _brief(json.dumps(value, sort_keys=True, separators=(",", ":")))
    except RecursionError:
        return "nested too deeply"


def _brief(text: str) -> str:
    """A text itself where it is short and plain, else its digest."""
    if _PLAIN.fullmatch(text):
        return text
    return "#" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()
