"""``/act/{verb}``: first how many rows a verb would be about, then its reason, then the operation."""

from aiohttp import web

from console.access.visitor import VISITOR
from console.pages.act.request import WORDS, chosen_set, order_of, texts_of, verb_of
from console.web.faults import Unfit
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.inbox.operations import Decision
from sluice.operations import book, rehearsals
from sluice.operations.verbs import Verb


async def show(request: web.Request) -> web.Response:
    """Count what the verb would be about, and ask why."""
    verb = verb_of(request)
    form = chosen_set(verb, request.query)
    async with reading(request.app[PARTS].database) as connection:
        preview = await book.preview(connection, verb, form.chosen)
    return render(
        request,
        "act/page.html",
        title=WORDS[verb].title,
        verb=verb,
        words=WORDS[verb],
        form=form,
        preview=preview,
        is_of_errors=verb is Verb.RESOLVE,
        can_rehearse=verb in rehearsals.VERBS,
    )


async def start(request: web.Request) -> web.Response:
    """Write the operation down, with the set as it is now, no more than were counted; and carry it out."""
    verb, parts = verb_of(request), request.app[PARTS]
    given = await texts_of(request)
    form, order = chosen_set(verb, given), order_of(given)
    decision = Decision(request[VISITOR].name, order.reason)
    async with parts.database.acquire() as connection:
        operation_id = await book.start(connection, verb, form.chosen, decision, rate=order.rate, limit=order.limit)
    parts.runs.start(operation_id)
    raise web.HTTPSeeOther(f"/operations/{operation_id}")


async def rehearse(request: web.Request) -> web.Response:
    """Ask a processor what the verb would change."""
    verb = verb_of(request)
    if verb not in rehearsals.VERBS:
        raise Unfit(f"No handler runs after {verb}.")
    form = chosen_set(verb, await texts_of(request))
    async with request.app[PARTS].database.acquire() as connection:
        number = await rehearsals.ask(connection, verb, form.chosen, request[VISITOR].name)
    raise web.HTTPSeeOther(f"/rehearsals/{number}")
