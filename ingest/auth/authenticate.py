"""From a body and its signature to an event that Stripe sent: verify, then read; note each refusal."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ingest import metrics
from ingest.auth.refusals import Refusals
from ingest.auth.signature import BadSignature, Signature, verify
from ingest.auth.tenant_secrets import Tenants, TenantSecrets
from ingest.errors import NotConfigured
from ingest.tenant_limits import STRANGERS, CpuShare
from sluice.contract.envelope import read_event
from sluice.contract.event import StripeEvent
from sluice.failures import Failure
from sluice.webhook_secret import fingerprint


class Admitted(NamedTuple):
    """An event of Stripe's, and the fingerprint of the secret that says so."""

    event: StripeEvent
    verified_by: str


class Authenticator:
    """
    Lets in what Stripe signed.

    Args:
        secrets: the platform's webhook secrets in force now.
        secrets_afresh: the same, looked up again before a webhook is refused.
    """

    def __init__(
        self,
        *,
        secrets: Callable[[], Sequence[str]],
        secrets_afresh: Callable[[], Sequence[str]],
        tenants: Tenants,
        refusals: Refusals,
        cpu: CpuShare | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._secrets_afresh = secrets_afresh
        self._tenants = tenants
        self._refusals = refusals
        self._cpu = cpu or CpuShare()
        self._clock = clock

    def platform(self, body: bytes, header: str | None) -> Admitted:
        """
        The event of a webhook to the platform's URL.

        Raises:
            NotConfigured: there is no secret to verify it with.
            Rejected: it is not Stripe's, not of now, or no event.
        """
        try:
            secrets = self._secrets()
            if not secrets:
                raise NotConfigured
            signature = self._verify_for_platform(body, header, secrets)
        except Failure as failure:
            self._refusals.unverified(failure)
            raise
        return self._read(body, fingerprint("platform", signature.secret), tenant=None)

    def _verify_for_platform(self, body: bytes, header: str | None, secrets: Sequence[str]) -> Signature:
        try:
            return self._verify(body, header, secrets)
        except BadSignature:
            newer = self._secrets_afresh()
            if newer == secrets:
                raise
            return self._verify(body, header, newer)

    async def tenant(self, body: bytes, header: str | None, asked: str) -> Admitted:
        """
        The event of a webhook to an organiser's URL.

        Raises:
            UnknownOrganiser, SecretUnusable, SecretUnreadable: there is no secret to verify it with.
            TooMuchAtOnce: the organiser has used up its share of this second.
            Rejected: it is not Stripe's, not of now, or no event.
        """
        organiser = STRANGERS
        try:
            known = await self._tenants.secrets(asked)
            organiser = known.tenant
            signature = await self._verify_for(asked, known, body, header)
        except Failure as failure:
            self._refusals.unverified_of(self._tenants.known(asked) or organiser, failure)
            raise
        with self._cpu.spending(organiser):
            return self._read(body, fingerprint("tenant", signature.secret), tenant=organiser)

    async def _verify_for(self, asked: str, known: TenantSecrets, body: bytes, header: str | None) -> Signature:
        """Verify with the organiser's secret; before refusing, with the one that PostgreSQL has now."""
        try:
            return self._verify_within_share(known, body, header)
        except BadSignature:
            newer = await self._tenants.afresh(known, asked)
            if newer is None or newer.secrets == known.secrets:
                raise
            return self._verify_within_share(newer, body, header)

    def _verify_within_share(self, known: TenantSecrets, body: bytes, header: str | None) -> Signature:
        self._cpu.check(known.tenant)
        with self._cpu.spending(known.tenant):
            return self._verify(body, header, known.secrets)

    def _verify(self, body: bytes, header: str | None, secrets: Sequence[str]) -> Signature:
        now = self._clock()
        signature = verify(body, header, secrets, now=now)
        metrics.CLOCK_SKEW_SECONDS.set(now - signature.signed_at)
        return signature

    def _read(self, body: bytes, verified_by: str, *, tenant: str | None) -> Admitted:
        metrics.verified(verified_by).inc()
        try:
            return Admitted(read_event(body, tenant=tenant), verified_by)
        except Failure as failure:
            self._refusals.malformed(failure, body, verified_by=verified_by, tenant=tenant)
            raise
