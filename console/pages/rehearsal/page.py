"""``/rehearsals/{id}``: what a retry or a replay would change, as a processor found out."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from console.pages.act.request import WORDS
from console.web.parts import PARTS
from console.web.reading import reading
from console.web.rendering import render
from sluice.operations import rehearsals
from sluice.operations.rehearsals import Rehearsal, Stage
from sluice.operations.verbs import Verb

_DIGITS_AT_MOST = 18


async def show(request: web.Request) -> web.Response:
    """Show how far it is, and its answer."""
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_AT_MOST):
        raise web.HTTPNotFound
    async with reading(request.app[PARTS].database) as connection:
        rehearsal = await rehearsals.read(connection, int(text))
    if rehearsal is None:
        raise web.HTTPNotFound
    return render(
        request,
        "rehearsal/page.html",
        title=f"What {rehearsal.verb} would change",
        rehearsal=rehearsal,
        diff=rehearsal.diff,
        is_open=rehearsal.stage in {Stage.WAITING, Stage.RUNNING},
        verb_title=WORDS[Verb(rehearsal.verb)].title,
        again=_again(rehearsal),
    )


def _again(rehearsal: Rehearsal) -> Mapping[str, Sequence[str]]:
    """Choose the same webhooks, for the action; in the states that they were in."""
    states = [] if rehearsal.diff is None else sorted({one.state_before for one in rehearsal.diff.webhooks})
    return {"id": list(rehearsal.items), "state": states}
