"""A request to act: the verb, the set, how fast, and why. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web
from multidict import MultiDict, MultiMapping

from console.web.faults import Unfit
from console.web.filter_form import FilterForm, read_filter
from sluice.operations.filters import Filter
from sluice.operations.verbs import Verb

MOST = 1_000_000
_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Words:
    """A verb as people read it."""

    title: str
    meaning: str
    is_grave: bool = False


WORDS: Mapping[Verb, Words] = {
    Verb.RETRY: Words("Retry", "Webhooks that wait for their next attempt are tried now; their attempts count on."),
    Verb.REPLAY: Words(
        "Replay",
        "Webhooks begin another life with all attempts. For those that had their effect the handlers run again: "
        "Sluice's own tables keep each fact once, your handlers must bear it.",
    ),
    Verb.WRITE_OFF: Words(
        "Write off",
        "Dead webhooks rest without an effect. Rows and errors stay, and each counts as a death for ever.",
        is_grave=True,
    ),
    Verb.RESOLVE: Words("Resolve", "Errors are marked as looked at; the reason is the note."),
}


@dataclass(frozen=True, slots=True)
class Order:
    """A request to act, as the form sends it."""

    reason: str
    limit: int
    rate: int | None


def verb_of(request: web.Request) -> Verb:
    """
    Read the verb from the address.

    Raises:
        web.HTTPNotFound: there is no such verb.
    """
    try:
        return Verb(request.match_info["verb"])
    except ValueError as error:
        raise web.HTTPNotFound from error


def chosen_set(verb: Verb, given: MultiMapping[str]) -> FilterForm:
    """
    Read the set that the verb is to be about; its times are moments, so that it stays as it was shown.

    Raises:
        Unfit: it would be everything, or nothing that the verb takes.
    """
    form = read_filter(given)
    if not form.chosen.is_narrow:
        raise Unfit("That would be everything. Narrow it down; the command line has --all for those who mean it.")
    if verb.rules.of_itself and not verb.rules.states(form.chosen):
        raise Unfit(f"{verb} takes no webhook in such a state.")
    times = {name: at.isoformat() for name in ("since", "until") if (at := getattr(form.chosen, name)) is not None}
    return FilterForm(form.chosen, {**form.fields, **times})


def order_of(given: MultiMapping[str]) -> Order:
    """
    Read the rest of the form.

    Raises:
        Unfit: there is no reason, or a number is none.
    """
    reason = reason_of(given)
    limit = _number(given.get("limit", ""), "limit")
    if limit is None:
        raise Unfit("Say how many at most.")
    return Order(reason, limit, _number(given.get("rate", ""), "rate"))


def reason_of(given: MultiMapping[str]) -> str:
    """
    Read the reason of a form.

    Raises:
        Unfit: there is none.
    """
    reason = given.get("reason", "").strip()
    if not reason or len(reason) > _LONGEST_REASON or "\0" in reason:
        raise Unfit("Say why, in at most 1,000 letters: the reason is kept with your name.")
    return reason


async def texts_of(request: web.Request) -> MultiMapping[str]:
    """
    Read the fields of a form.

    Raises:
        Unfit: one of them is a file.
    """
    fields = MultiDict[str]()
    for name, value in (await request.post()).items():
        if not isinstance(value, str):
            raise Unfit("No form of ours sends a file.")
        fields.add(name, value)
    return fields


def fitting(chosen: Filter, *, state: str | None = None) -> Sequence[tuple[Verb, Words]]:
    """Name the verbs for webhooks of a filter; given a state, those that take a webhook in it."""
    verbs = [verb for verb in Verb if verb.rules.of_itself and verb.rules.states(chosen)]
    if state is not None:
        verbs = [verb for verb in verbs if state in map(str, (*verb.rules.of_itself, *verb.rules.if_asked))]
    return [(verb, WORDS[verb]) for verb in verbs]


def _number(text: str, name: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST))
    if not is_number or not 1 <= int(text) <= MOST:
        raise Unfit(f"The {name} must be a number from 1 to {MOST:,}.")
    return int(text)
