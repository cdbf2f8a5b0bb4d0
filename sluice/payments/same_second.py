"""
Which of several words of one second is the newest: a pure function of the set of words.

Stripe's clock has whole seconds. An ``…updated`` event carries ``data.previous_attributes``: what the attributes that
it changed were before. A word whose ``previous_attributes`` are what another one shows supersedes it.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from sluice.contract.document import Json, JsonObject
from sluice.contract.event import StripeEvent
from sluice.payments import fetched
from sluice.payments.values import child

MOST_WORDS = 8
"""So many words of a second are compared: those that stand last in their order."""
_PLACES: Mapping[str, int] = {"created": -1, fetched.VERB: -1, "deleted": 1}
_NOTHING: JsonObject = {}


class Word(NamedTuple):
    """One event's word on an object, reduced to what is compared with others of its second."""

    stripe_event_id: str
    status: str
    verb: str = ""
    """The last word of the event's type."""
    shows: JsonObject | None = None
    """The object; None where no more is known than its status."""
    replaces: JsonObject = _NOTHING
    """The event's ``previous_attributes``."""

    @classmethod
    def of(cls, event: StripeEvent, status: str) -> "Word":
        """Take the word of an event; ``status`` is the one derived from its object."""
        return cls(
            stripe_event_id=event.stripe_event_id,
            status=status,
            verb=event.verb,
            shows=event.object,
            replaces=child(event.payload, "data", "previous_attributes"),
        )

    def supersedes(self, other: "Word") -> bool:
        """Whether the other one shows all that this one says there was before."""
        if other.shows is None:
            return self.replaces.get("status") == other.status
        try:
            return bool(self.replaces) and _was(self.replaces, other.shows)
        except RecursionError:  # no object of Stripe's is nested so deeply
            return False


def _was(before: Json, shown: Json) -> bool:
    """
    Whether this is what an attribute shows.

    Of an inner object ``previous_attributes`` name the attributes that changed, of a list all of it; until 2017-05-25
    of a list's objects, too, what changed. An attribute that was not there before is null.
    """
    if isinstance(before, Mapping):
        inner = shown if isinstance(shown, Mapping) else _NOTHING
        return all(_was(value, inner.get(name)) for name, value in before.items())
    if isinstance(before, list) and isinstance(shown, list) and len(before) == len(shown):
        return all(_was(*pair) for pair in zip(before, shown, strict=True))
    return type(before) is type(shown) and before == shown


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
    At most ``MOST_WORDS``, the last ones: ``created`` and what was fetched before all other types and ``deleted`` after
    them, then by precedence of the status, then by id.
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
