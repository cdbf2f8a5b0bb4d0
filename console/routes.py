"""The addresses of the pages, in the order of the menu."""

from collections.abc import Sequence

from console.access.gate import acting
from console.pages.accounts import page as accounts
from console.pages.act import page as act
from console.pages.act import running
from console.pages.errors import page as errors
from console.pages.now import page as now
from console.pages.operations import page as operations
from console.pages.payment import page as payment
from console.pages.rehearsal import page as rehearsal
from console.pages.trouble import page as trouble
from console.pages.webhook import page as webhook
from console.pages.webhooks import page as webhooks
from console.web.application import Route

ROUTES: Sequence[Route] = (
    Route("now", "/", now.show, menu="Now"),
    Route("webhooks", "/webhooks", webhooks.show, menu="Webhooks"),
    Route("search", "/search", webhooks.search),
    Route("webhook", "/webhooks/{key:[^/]+}", webhook.show),
    Route("payment", "/payments/{id:[^/]+}", payment.show_payment),
    Route("events_row", "/events/{id:[^/]+}", payment.show_row),
    Route("trouble", "/trouble", trouble.show, menu="Trouble"),
    Route("accounts", "/accounts", accounts.show, menu="Accounts"),
    Route("operations", "/operations", operations.show, menu="Operations"),
    Route("operation", "/operations/{id}", operations.show_one),
    Route("errors", "/errors", errors.show, menu="Errors"),
    Route("act", "/act/{verb}", acting(act.show)),
    Route("act", "/act/{verb}", acting(act.start), method="POST"),
    Route("rehearse", "/act/{verb}/rehearse", acting(act.rehearse), method="POST"),
    Route("rehearsal", "/rehearsals/{id}", rehearsal.show),
    Route("cancel", "/operations/{id}/cancel", acting(running.cancel), method="POST"),
    Route("resume", "/operations/{id}/resume", acting(running.resume), method="POST"),
    Route("undo", "/operations/{id}/undo", acting(running.undo), method="POST"),
    Route("body", "/webhooks/{key:[^/]+}/body", webhook.show_body, method="POST"),
)
