"""One delivery from its request to its answer: route, read, admit, record."""

import asyncio
import re
import time
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ingest import metrics
from ingest.auth.authenticate import Authenticator
from ingest.auth.tenant_secrets import Tenants
from ingest.errors import MethodNotAllowed, NotFound, OutOfTime
from ingest.http.body import BodyReader
from ingest.http.responses import Answer, Response, received, refusal
from ingest.journal.journal import Journal
from ingest.journal.receipt import Receipt, Recorded
from ingest.rate_limited_log import RATE_LIMITED_LOG
from ingest.tenant_limits import STRANGERS, InFlight
from sluice.contract.event import StripeEvent
from sluice.failures import Defect, Failure

PLATFORM_PATH = "/api/stripe-webhook"
SIGNATURE = "Stripe-Signature"
_TENANT_PREFIX = f"{PLATFORM_PATH}/"
_TENANT = re.compile(r"[A-Za-z0-9._~:@+=,-]{1,128}")


class Receiver:
    """
    Answers the requests of the public port, each in a task of its own.

    Args:
        is_draining: whether we are about to end; connections are then closed after their answer.
        answer_seconds: from a whole body to any answer.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        journal: Journal,
        bodies: BodyReader,
        tenants: Tenants,
        in_flight: InFlight,
        is_draining: Callable[[], bool] = lambda: False,
        answer_seconds: float = 2.5,
    ) -> None:
        self._authenticator = authenticator
        self._journal = journal
        self._bodies = bodies
        self._tenants = tenants
        self._in_flight = in_flight
        self._is_draining = is_draining
        self._answer_seconds = answer_seconds

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Accept one delivery; 200 only once it is durable."""
        try:
            answer = await self._receive(request)
        except Exception as error:  # noqa: BLE001  the edge: whatever this is, it has an answer
            answer = refuse(error)
        response = Response(answer)
        if self._is_draining():
            response.force_close()
        return response

    async def _receive(self, request: web.BaseRequest) -> Answer:
        began = time.monotonic()
        tenant = _route(request)
        header = request.headers.get(SIGNATURE)
        if tenant is None:
            return await self._platform(await self._bodies.read(request), header, began)
        with self._in_flight.enter(self._tenants.known(tenant) or STRANGERS) as place:
            body = await self._bodies.read(request, place)
            try:
                async with asyncio.timeout(self._answer_seconds):
                    return await self._tenant(body, header, began, tenant)
            except TimeoutError as error:
                raise OutOfTime from error

    async def _platform(self, body: bytes, header: str | None, began: float) -> Answer:
        """It waits for the journal alone, which has its own deadline."""
        admitted = self._authenticator.platform(body, header)
        return accept(admitted.event, await self._journal.record(admitted.event, admitted.verified_by), began)

    async def _tenant(self, body: bytes, header: str | None, began: float, tenant: str) -> Answer:
        admitted = await self._authenticator.tenant(body, header, tenant)
        return accept(admitted.event, await self._journal.record(admitted.event, admitted.verified_by), began)


def accept(event: StripeEvent, receipt: Receipt, began: float) -> Answer:
    """
    The answer to a webhook that is durable; counts it.

    Args:
        began: when its request came, by the monotonic clock.
    """
    is_new = isinstance(receipt, Recorded)
    metrics.received(event.type, is_new=is_new).inc()
    metrics.ANSWER_SECONDS.observe(time.monotonic() - began)
    return received(event.stripe_event_id.partition("@")[0], is_duplicate=not is_new)


def refuse(error: BaseException) -> Answer:
    """The answer to a webhook that is not recorded; counts it. An unexpected error is ours: Stripe may try again."""
    if not isinstance(error, Failure):
        RATE_LIMITED_LOG.failed("request_handler_broke", error)
        error = Defect()
    metrics.REFUSED.labels(error.code).inc()
    return refusal(error)


def _route(request: web.BaseRequest) -> str | None:
    """
    The organiser that the URL names; None for the platform's URL.

    Raises:
        NotFound, MethodNotAllowed: the request is for nothing that we have.
    """
    path = request.rel_url.raw_path
    if path == PLATFORM_PATH:
        tenant = None
    elif path.startswith(_TENANT_PREFIX):
        tenant = _tenant_id(path.removeprefix(_TENANT_PREFIX))
    else:
        raise NotFound
    if request.method != "POST":
        raise MethodNotAllowed
    return tenant


def _tenant_id(quoted: str) -> str:
    tenant = unquote_to_bytes(quoted).decode("ascii", "replace")
    if _TENANT.fullmatch(tenant) is None:
        raise NotFound
    return tenant
