"""Stripe's API on a port of the loopback: the paths that Sluice asks for, and no others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from email.utils import formatdate
from types import MappingProxyType
from typing import TypeAlias

from aiohttp import web

from sluice.contract.document import Json, JsonObject
from sluice.simulator.stripe_api.answers import Refusal, answered, invalid, not_found, refused, reused
from sluice.simulator.stripe_api.faults import Fault
from sluice.simulator.stripe_api.listing import Listing, StoredListing
from sluice.simulator.stripe_api.offline_stripe import PLATFORM_ACCOUNT, Caller, KeptAnswer, OfflineStripe
from sluice.simulator.stripe_api.ping import ping
from sluice.simulator.stripe_api.query import Wanted, read

_LOOPBACK = "127.0.0.1"
_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "payment_intents": ("payment_intent", "rak_payment_intent_read"),
        "charges": ("charge", "rak_charge_read"),
        "refunds": ("refund", "rak_charge_read"),
        "disputes": ("dispute", "rak_dispute_read"),
        "invoices": ("invoice", "rak_invoice_read"),
        "invoice_payments": ("invoice_payment", "rak_invoice_read"),
        "subscriptions": ("subscription", "rak_subscription_read"),
        "customers": ("customer", "rak_customer_read"),
        "checkout/sessions": ("checkout.session", "rak_checkout_session_read"),
    }
)
"""Kind of object and the right to read it, by path."""
_EVENTS, _WEBHOOKS, _WRITE = "rak_event_read", "rak_webhook_read", "rak_webhook_write"
_EVERYTHING = 0

Handler: TypeAlias = Callable[[web.Request, Caller], Awaitable[JsonObject]]


@asynccontextmanager
async def serve(stripe: OfflineStripe, *, port: int = 0) -> AsyncIterator[str]:
    """Answer for Stripe as long as the block lasts; the address is for ``STRIPE_API_BASE``."""
    runner = web.AppRunner(make_app(stripe), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _LOOPBACK, port)
        await site.start()
        yield f"http://{_LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def make_app(stripe: OfflineStripe) -> web.Application:
    """The application: every path under its method."""
    answers = _Answers(stripe)
    app = web.Application()
    app.add_routes(
        [
            _route(stripe, "GET", "/v1/account", answers.account),
            _route(stripe, "GET", "/v1/events", answers.events),
            _route(stripe, "GET", "/v1/events/{id}", answers.event),
            _route(stripe, "GET", "/v1/webhook_endpoints", answers.endpoints),
            _route(stripe, "POST", "/v1/webhook_endpoints", answers.create_endpoint),
            _route(stripe, "POST", "/v1/webhook_endpoints/{id}", answers.change_endpoint),
            _route(stripe, "GET", "/v2/core/events", answers.thin_events),
            _route(stripe, "GET", "/v2/core/events/{id}", answers.thin_event),
            _route(stripe, "GET", "/v2/core/event_destinations", answers.destinations),
            _route(stripe, "POST", "/v2/core/event_destinations/{id}/ping", answers.ping),
            _route(stripe, "POST", "/v2/core/event_destinations/{id}/enable", answers.enable),
            *(_route(stripe, "GET", f"/v1/{path}", answers.objects(path)) for path in _KINDS),
            *(_route(stripe, "GET", f"/v1/{path}/{{id}}", answers.object(path)) for path in _KINDS),
        ]
    )
    return app


def _route(stripe: OfflineStripe, method: str, path: str, handler: Handler) -> web.RouteDef:
    """A path, behind the faults that are due and the key that everything needs."""

    async def answer(request: web.Request) -> web.StreamResponse:
        stripe.requests.append(request.path_qs)
        fault = stripe.faults.next(request.path) or Fault()
        await asyncio.sleep(fault.late_seconds)
        if fault.refusal is not None:
            return refused(fault.refusal)
        response = await _respond(stripe, request, handler)
        response.headers["Date"] = formatdate(stripe.clock(), usegmt=True)
        return await _cut_off(request, response) if fault.is_cut_off else response

    return web.route(method, path, answer)


async def _respond(stripe: OfflineStripe, request: web.Request, handler: Handler) -> web.Response:
    try:
        account = request.headers.get("Stripe-Account") or request.headers.get("Stripe-Context")
        caller = stripe.caller(request.headers.get("Authorization", ""), account)
        return answered(await _once(stripe, request, caller, handler))
    except Refusal as refusal:
        return refused(refusal)


async def _once(stripe: OfflineStripe, request: web.Request, caller: Caller, handler: Handler) -> JsonObject:
    """Handle a request; one that comes again under its idempotency key gets the first answer, and changes nothing."""
    key = request.headers.get("Idempotency-Key")
    if request.method != "POST" or key is None:
        return await handler(request, caller)
    asked = request.path_qs.encode() + b"\n" + await request.read()
    first = stripe.answers_by_key.get((caller.scope, key))
    if first is None:
        first = stripe.answers_by_key[caller.scope, key] = KeptAnswer(asked, await handler(request, caller))
    if first.asked != asked:
        raise reused(key)
    return first.document


async def _cut_off(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Send the start of an answer, and let the connection break."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(headers={"Content-Length": str(len(body)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response


class _Answers:
    """Answers each path."""

    def __init__(self, stripe: OfflineStripe) -> None:
        self._stripe = stripe

    async def account(self, _: web.Request, caller: Caller) -> JsonObject:
        return {"id": caller.account or PLATFORM_ACCOUNT, "object": "account"}

    async def events(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_EVENTS)
        return _list(request, self._stripe.events[caller.scope], oldest=self._stripe.oldest())

    async def event(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_EVENTS)
        return _one(request, "event", self._stripe.events[caller.scope], oldest=self._stripe.oldest())

    async def thin_event(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_EVENTS)
        return _one(request, "v2.core.event", self._stripe.thin_events[caller.scope], oldest=self._stripe.oldest())

    async def thin_events(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_EVENTS)
        listing = self._stripe.thin_events[caller.scope]
        wanted = _read_thinly(request)
        page = listing.page(wanted, oldest=self._stripe.oldest())
        about = request.query.get("object_id")
        documents = [entry.document for entry in page.entries if about is None or _about(entry.document) == about]
        rest = request.rel_url.update_query(page=page.entries[-1].id) if page.has_more else None
        return {"data": documents, "next_page_url": None if rest is None else str(rest), "previous_page_url": None}

    def objects(self, path: str) -> Handler:
        kind, right = _KINDS[path]

        async def answer(request: web.Request, caller: Caller) -> JsonObject:
            caller.needs(right)
            listed = _list(request, self._listing(caller, kind), oldest=_EVERYTHING)
            return _without_ended(listed) if kind == "subscription" and request.query.get("status") != "all" else listed

        return answer

    def object(self, path: str) -> Handler:
        kind, right = _KINDS[path]

        async def answer(request: web.Request, caller: Caller) -> JsonObject:
            caller.needs(right)
            return _one(request, kind, self._listing(caller, kind), oldest=_EVERYTHING)

        return answer

    async def endpoints(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WEBHOOKS)
        return _all(request, list(self._stripe.endpoints[caller.key.livemode].values()))

    async def create_endpoint(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WRITE)
        said = await request.post()
        known = self._stripe.endpoints[caller.key.livemode]
        endpoint: JsonObject = {
            "id": f"we_1Offline{len(known)}",
            "object": "webhook_endpoint",
            "status": "enabled",
            "livemode": caller.key.livemode,
            "url": str(said["url"]),
            "api_version": str(said["api_version"]) if "api_version" in said else None,
            "enabled_events": _array(said, "enabled_events"),
            "created": int(self._stripe.clock()),
        }
        known[str(endpoint["id"])] = endpoint
        return {**endpoint, "secret": f"whsec_offline{len(known):018}"}

    async def change_endpoint(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WRITE)
        known, name, said = self._stripe.endpoints[caller.key.livemode], request.match_info["id"], await request.post()
        if name not in known:
            raise not_found("webhook endpoint", name)
        changes: dict[str, Json] = {"url": str(said["url"])} if "url" in said else {}
        if types := _array(said, "enabled_events"):
            changes["enabled_events"] = types
        if "disabled" in said:
            changes["status"] = "disabled" if said["disabled"] == "true" else "enabled"
        known[name] = {**known[name], **changes}
        return known[name]

    async def destinations(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WEBHOOKS)
        known = self._stripe.destinations[caller.key.livemode].values()
        shows_url = any(value == "webhook_endpoint.url" for name, value in request.query.items() if "include" in name)
        shown = [one if shows_url else {**one, "webhook_endpoint": None} for one in known]
        return {"data": shown, "next_page_url": None, "previous_page_url": None}

    async def ping(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WRITE)
        return await ping(self._stripe, self._destination(request, caller))

    async def enable(self, request: web.Request, caller: Caller) -> JsonObject:
        caller.needs(_WRITE)
        enabled = {**self._destination(request, caller), "status": "enabled", "status_details": None}
        self._stripe.destinations[caller.key.livemode][str(enabled["id"])] = enabled
        return {**enabled, "webhook_endpoint": None}

    def _destination(self, request: web.Request, caller: Caller) -> JsonObject:
        name = request.match_info["id"]
        destination = self._stripe.destinations[caller.key.livemode].get(name)
        if destination is None:
            raise not_found("event destination", name)
        return destination

    def _listing(self, caller: Caller, kind: str) -> StoredListing:
        return self._stripe.objects[caller.scope].setdefault(kind, StoredListing(kind))


def _list(request: web.Request, listing: Listing, *, oldest: int) -> JsonObject:
    page = listing.page(read(request.query, list(request.query.items())), oldest=oldest)
    documents = [entry.document for entry in page.entries]
    return {"object": "list", "url": request.path, "has_more": page.has_more, "data": documents}


def _without_ended(listed: JsonObject) -> JsonObject:
    """As Stripe lists subscriptions where the request names no status."""
    entries = listed["data"]
    found = entries if isinstance(entries, list) else []
    return {**listed, "data": [one for one in found if isinstance(one, Mapping) and one.get("status") != "canceled"]}


def _all(request: web.Request, documents: Sequence[JsonObject]) -> JsonObject:
    return {"object": "list", "url": request.path, "has_more": False, "data": documents}


def _one(request: web.Request, kind: str, listing: Listing, *, oldest: int) -> JsonObject:
    name = request.match_info["id"]
    found = listing.get(name, oldest=oldest)
    if found is None:
        raise not_found(kind, name)
    return found.document


def _read_thinly(request: web.Request) -> Wanted:
    """As the second API asks: times in RFC 3339, and the last id of the page before as ``page``."""
    query = {name: value for name, value in request.query.items() if name not in ("object_id", "page")}
    for name, value in list(query.items()):
        if name.startswith("created["):
            query[name] = str(_seconds(value))
    if "page" in request.query:
        query["starting_after"] = request.query["page"]
    return read(query, list(query.items()))


def _seconds(rfc3339: str) -> int:
    try:
        return int(datetime.fromisoformat(rfc3339).timestamp())
    except ValueError as error:
        raise invalid("Invalid timestamp.", "created") from error


def _about(event: JsonObject) -> Json:
    related = event.get("related_object")
    return related.get("id") if isinstance(related, Mapping) else None


def _array(said: Mapping[str, object], name: str) -> list[Json]:
    return [str(value) for key, value in said.items() if key.startswith(f"{name}[")]
