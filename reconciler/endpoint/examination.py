"""One whole examination: ask Stripe, PostgreSQL, ingest and the public URL, and judge it all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.endpoint.audit import AtStripe, Needed, audit, clock_findings, ours_of
from reconciler.endpoint.findings import Finding, Name
from reconciler.endpoint.listing import Listed, list_registrations
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.registration import Registration
from reconciler.failures import KeyMissing
from reconciler.stripe_api import StripeApi
from sluice.failures import Failure


@dataclass(frozen=True, slots=True)
class Examined:
    """Result of one look at Stripe."""

    needed: Needed
    ours: Sequence[Registration]
    """Registrations of our URL, in our mode."""
    registrations: Sequence[Registration]
    """All in our mode."""
    findings: tuple[Finding, ...]
    our_lead_seconds: float
    """How far this machine's clock is ahead of Stripe's."""

    @property
    def is_enabled(self) -> bool:
        """Whether Stripe sends here what happens; a destination that is for pings alone does not."""
        return any(one.is_enabled and one.brings_events for one in self.ours)


async def examine(needed: Needed, apis: Mapping[bool, StripeApi], proofs: Proofs | None) -> Examined:
    """
    Look at Stripe once, in both modes where there are both keys.

    Args:
        apis: by ``livemode``; the mode that is needed must be there.

    Raises:
        Failure: Stripe does not let us see the endpoints of our mode.
    """
    listed = await list_registrations(apis[needed.livemode])
    lead = time.time() - listed.said_at - 0.5  # Stripe's clock comes in whole seconds
    other_mode, unseen = await _other_mode(apis.get(not needed.livemode))
    findings = audit(needed, _at_stripe(listed, other_mode), proofs)
    return Examined(
        needed=needed,
        ours=ours_of(needed, listed.registrations),
        registrations=listed.registrations,
        findings=(*findings, *unseen, *clock_findings(lead, whose="This machine's")),
        our_lead_seconds=lead,
    )


async def _other_mode(api: StripeApi | None) -> tuple[Sequence[Registration], tuple[Finding, ...]]:
    """Look at the mode that is not ours, where there is a key for it; a key that does not open it is worth a note."""
    if api is None:
        return (), ()
    try:
        return (await list_registrations(api)).registrations, ()
    except KeyMissing:
        return (), ()
    except Failure as failure:
        text = f"The endpoints of {api.mode} mode were not looked at: {failure}"
        cure = "Mend that key in STRIPE_API_KEY, or leave it out."
        return (), (Finding(Name.UNSEEN, text, cure, is_note=True),)


def _at_stripe(listed: Listed, other_mode: Sequence[Registration]) -> AtStripe:
    return AtStripe(listed.registrations, other_mode, destinations_unseen=listed.destinations_unseen)
