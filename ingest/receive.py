"""One delivery from its request to its answer: route, read, verify, record."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from aiohttp import web

from ingest import metrics
from ingest.answers import Answer, received, refusal
from ingest.body import BodyReader
from ingest.failures import MethodNotAllowed, NotConfigured, NotFound, OutOfTime
from ingest.journal import Journal, Recorded
from ingest.notices import NOTICES
from ingest.refusals import Refusals
from ingest.tenants import Tenants
from ingest.verify import BadSignature, Signature, fingerprint, verify
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import Defect, Failure

PLATFORM_PATH = "/api/stripe-webhook"
_TENANT_PREFIX = f"{PLATFORM_PATH}/"
_TENANT = re.compile(r"[A-Za-z0-9._~:@+=,-]{1,128}")
_SIGNATURE = "Stripe-Signature"


@dataclass(frozen=True, slots=True)
class Verified:
    """A body that Stripe signed."""

    body: bytes
    tenant: str | None
    verified_by: str


class Receiver:
    """
    Answers the public port.

    Args:
        secrets: the platform's webhook secrets in force now.
        is_draining: whether we are about to end; connections are then closed after their answer.
        answer_seconds: from a whole body to any answer.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[], Sequence[str]],
        tenants: Tenants,
        journal: Journal,
        bodies: BodyReader,
        refusals: Refusals,
        is_draining: Callable[[], bool] = lambda: False,
        answer_seconds: float = 2.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._tenants = tenants
        self._journal = journal
        self._bodies = bodies
        self._refusals = refusals
        self._is_draining = is_draining
        self._answer_seconds = answer_seconds
        self._clock = clock

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Accept one delivery; 200 only once it is durable."""
        try:
            answer = await self._receive(request)
        except Failure as failure:
            answer = _refuse(failure)
        except Exception as error:  # noqa: BLE001  the edge: whatever this is, it is ours, and Stripe should try again
            NOTICES.failed("request_handler_broke", error)
            answer = _refuse(Defect())
        if self._is_draining():
            answer.force_close()
        return answer

    async def _receive(self, request: web.BaseRequest) -> Answer:
        began = time.monotonic()
        tenant = _route(request)
        body = await self._bodies.read(request)
        header = request.headers.get(_SIGNATURE)
        if tenant is None:
            answer = await self._accept(header, body, None)  # waits for the journal alone, which has its own deadline
        else:
            answer = await self._within_time(header, body, tenant)
        metrics.ANSWER_SECONDS.observe(time.monotonic() - began)
        return answer

    async def _within_time(self, header: str | None, body: bytes, tenant: str) -> Answer:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._accept(header, body, tenant)
        except TimeoutError as error:
            raise OutOfTime from error

    async def _accept(self, header: str | None, body: bytes, tenant: str | None) -> Answer:
        try:
            verified = self._platform(header, body) if tenant is None else await self._tenant(header, body, tenant)
        except Failure as failure:
            self._refusals.unverified(failure, is_platform=tenant is None)
            raise
        metrics.verified(verified.verified_by).inc()
        event = self._read(verified)
        receipt = await self._journal.record(event, verified_by=verified.verified_by)
        is_new = isinstance(receipt, Recorded)
        metrics.received(event.type, is_new=is_new).inc()
        return received(event.stripe_event_id.partition("@")[0], is_duplicate=not is_new)

    def _platform(self, header: str | None, body: bytes) -> Verified:
        secrets = self._secrets()
        if not secrets:
            raise NotConfigured
        return Verified(body, None, fingerprint("platform", self._verify(body, header, secrets).secret))

    async def _tenant(self, header: str | None, body: bytes, asked: str) -> Verified:
        """Verify with the organiser's secret; before refusing, with the one that PostgreSQL has now."""
        known = await self._tenants.secrets(asked)
        try:
            signature = self._verify(body, header, known.secrets)
        except BadSignature:
            newer = await self._tenants.afresh(known, asked)
            if newer is None or newer.secrets == known.secrets:
                raise
            known, signature = newer, self._verify(body, header, newer.secrets)
        return Verified(body, known.tenant, fingerprint("tenant", signature.secret))

    def _verify(self, body: bytes, header: str | None, secrets: Sequence[str]) -> Signature:
        now = self._clock()
        signature = verify(body, header, secrets, now=now)
        metrics.CLOCK_SKEW_SECONDS.set(now - signature.signed_at)
        return signature

    def _read(self, verified: Verified) -> StripeEvent:
        try:
            return read_event(verified.body, tenant=verified.tenant)
        except Failure as failure:
            self._refusals.malformed(failure, verified_by=verified.verified_by, tenant=verified.tenant)
            raise


def _refuse(failure: Failure) -> Answer:
    metrics.REFUSED.labels(failure.code).inc()
    return refusal(failure)


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
