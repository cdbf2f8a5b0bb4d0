"""The addresses of the pages, in the order of the menu."""

from collections.abc import Sequence

from console.access.gate import acting
from console.pages.act import page as act
from console.pages.act import running
from console.pages.now import page as now
from console.pages.rehearsal import page as rehearsal
from console.pages.webhook import page as webhook
from console.pages.webhooks import page as webhooks
from console.web.application import Route

ROUTES: Sequence[Route] = (
    Route("now", "/", now.show, menu="Now"),
    Route("webhooks", "/webhooks", webhooks.show, menu="Webhooks"),
    Route("search", "/search", webhooks.search),
    Route("webhook", "/webhooks/{key:[^/]+}", webhook.show),
    Route("act", "/act/{verb}", acting(act.show)),
    Route("act", "/act/{verb}", acting(act.start), method="POST"),
    Route("rehearse", "/act/{verb}/rehearse", acting(act.rehearse), method="POST"),
    Route("rehearsal", "/rehearsals/{id}", rehearsal.show),
    Route("cancel", "/operations/{id}/cancel", acting(running.cancel), method="POST"),
    Route("resume", "/operations/{id}/resume", acting(running.resume), method="POST"),
    Route("undo", "/operations/{id}/undo", acting(running.undo), method="POST"),
    Route("body", "/webhooks/{key:[^/]+}/body", webhook.show_body, method="POST"),
)
