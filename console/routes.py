"""The addresses of the pages, in the order of the menu."""

from collections.abc import Sequence

from console.pages.now import page as now
from console.pages.webhook import page as webhook
from console.pages.webhooks import page as webhooks
from console.web.application import Route

ROUTES: Sequence[Route] = (
    Route("now", "/", now.show, menu="Now"),
    Route("webhooks", "/webhooks", webhooks.show, menu="Webhooks"),
    Route("search", "/search", webhooks.search),
    Route("webhook", "/webhooks/{key}", webhook.show),
    Route("body", "/webhooks/{key}/body", webhook.show_body, method="POST"),
)
