"""Compare what Stripe has registered with what Sluice needs. Pure: no clock, no I/O."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from reconciler.endpoint.findings import Finding, Name, by_weight
from reconciler.endpoint.proofs import Proofs
from reconciler.endpoint.public_url import host_of
from reconciler.endpoint.registration import OF_STRIPE, OWN_ACCOUNT, Payload, Registration
from sluice.payments.api_version import NEWEST, is_known

SKEW_SECONDS = 30.0
"""Beyond this a clock is wrong; ``SluiceClocksDiffer`` has the same bound."""
LONGEST_OVERLAP_SECONDS = 24 * 3600.0
"""After a roll Stripe signs with the old secret too, for so long at most."""


@dataclass(frozen=True, slots=True)
class Needed:
    """An endpoint as this Sluice needs it."""

    url: str
    livemode: bool
    types: frozenset[str]
    """Types that it must be subscribed to."""
    previews: frozenset[str] = frozenset()
    """Types that have a handler too, and that Stripe gives to accounts in a preview alone."""

    @property
    def mode(self) -> str:
        """``live`` or ``test``."""
        return "live" if self.livemode else "test"


@dataclass(frozen=True, slots=True)
class AtStripe:
    """Registrations in Stripe's lists."""

    registrations: Sequence[Registration]
    """In the mode that is needed, for any URL."""
    other_mode: Sequence[Registration] = ()
    """In the other mode, where there is a key for it."""
    destinations_unseen: str | None = None
    """Why event destinations were not listed; None: they were."""


def audit(needed: Needed, stripe: AtStripe, proofs: Proofs | None = None) -> tuple[Finding, ...]:
    """
    Every finding, what loses webhooks first.

    Args:
        proofs: which secrets verified webhooks, and when; None: the log was not read.
    """
    ours = ours_of(needed, stripe.registrations)
    found = [
        *_registered(needed, stripe, ours),
        *_other_mode(needed, stripe.other_mode),
        *_disabled(ours),
        *_twice(ours, has_connected=proofs is not None and proofs.has_connected),
        *_types(needed, ours),
        *_versions(ours),
        *_secrets(ours, proofs),
        *_unseen(stripe),
    ]
    return tuple(sorted(found, key=by_weight))


def ours_of(needed: Needed, registrations: Sequence[Registration]) -> Sequence[Registration]:
    """Those that send to our URL."""
    return [one for one in registrations if one.url == needed.url]


def missing_types(needed: Needed, ours: Sequence[Registration]) -> Mapping[frozenset[str], frozenset[str]]:
    """Types that no enabled registration gets, for the accounts that some registration is about."""
    found: dict[frozenset[str], frozenset[str]] = {}
    for sources, group in _by_sources(ours).items():
        enabled = [one for one in group if one.is_enabled]
        if enabled and not any(one.takes_all for one in enabled):
            found[sources] = needed.types.difference(*(one.types for one in enabled))
    return {sources: types for sources, types in found.items() if types}


def _registered(needed: Needed, stripe: AtStripe, ours: Sequence[Registration]) -> Iterator[Finding]:
    if ours:
        return
    near = sorted({one.url for one in stripe.registrations if host_of(one.url) == host_of(needed.url)})
    text = f"No endpoint in {needed.mode} mode has the URL {needed.url}: Stripe sends nothing here."
    if near:
        text += f" At this host there is {', '.join(near)}."
    yield Finding(
        Name.MISSING,
        text,
        "sluice doctor --fix --secret-file PATH creates it; or set PUBLIC_URL to the URL that Stripe has.",
    )


def _other_mode(needed: Needed, others: Sequence[Registration]) -> Iterator[Finding]:
    for one in ours_of(needed, others):
        if not one.is_enabled:
            continue
        if needed.livemode:
            text = f"The test-mode endpoint {one.id} sends here, where APP_ENV=production ignores test events."
            cure = "Give test mode a Sluice of its own, or delete that endpoint in Stripe's Dashboard."
        else:
            text = f"The live endpoint {one.id} sends real payments here, and APP_ENV is not production."
            cure = "Set APP_ENV=production, or give that endpoint the URL of your production in Stripe's Dashboard."
        yield Finding(Name.WRONG_MODE, text, cure, is_note=needed.livemode)


def _disabled(ours: Sequence[Registration]) -> Iterator[Finding]:
    for group in _by_sources(ours).values():
        for one in (one for one in group if not one.is_enabled):
            if any(other.is_enabled and other.payload is one.payload for other in group):
                text, is_note = f"{one.id} is disabled; another one has the same URL and is enabled.", True
                cure = "Delete it in Stripe's Dashboard if nothing needs it any more."
            else:
                because = f" ({one.disabled_because})" if one.disabled_because else ""
                text = f"{one.id} is disabled{because}: Stripe sends nothing, and will not send later what it skips."
                cure, is_note = "sluice doctor --fix enables it; the reconciler fills what was skipped.", False
            yield Finding(Name.DISABLED, text, cure, is_note=is_note)


def _twice(ours: Sequence[Registration], *, has_connected: bool) -> Iterator[Finding]:
    enabled = [one for one in ours if one.is_enabled]
    unsaid = [one for one in enabled if not one.sources]
    is_one_of_connect = has_connected and len(unsaid) == 2  # noqa: PLR2004  our own account's, and the connected ones'
    pairs = [
        f"{one.id} and {other.id}"
        for one, other in combinations(enabled, 2)
        if one.payload is other.payload
        and (one.sources & other.sources or not (one.sources or other.sources or is_one_of_connect))
    ]
    if pairs:
        yield Finding(
            Name.TWICE,
            f"Registered twice for the same events: {'; '.join(pairs)}. Each event comes twice, and counts once.",
            "Delete one in Stripe's Dashboard, then take its secret out. If one is for connected accounts, both stay.",
        )


def _types(needed: Needed, ours: Sequence[Registration]) -> Iterator[Finding]:
    for sources, types in missing_types(needed, ours).items():
        is_curable = any(one.takes_more for one in ours if one.whose == sources and one.is_enabled)
        whose = "" if sources == {OWN_ACCOUNT} else f" (events from {', '.join(sorted(sources))})"
        yield Finding(
            Name.TYPES_MISSING,
            f"{_count(len(types), 'type')} with a handler {'is' if len(types) == 1 else 'are'} not subscribed{whose}:"
            " without effect, whatever happens.",
            "sluice doctor --fix adds them."
            if is_curable
            else "Add them to the event destination, in Stripe's Workbench.",
            tuple(sorted(types)),
        )
    enabled = [one for one in ours if one.is_enabled]
    if all_of := [one.id for one in enabled if one.takes_all]:
        yield Finding(
            Name.TYPES_ALL,
            f"{', '.join(all_of)} gets every type; {len(needed.types)} have a handler, the rest is ignored.",
            "Subscribe it to what `sluice events` prints, and Stripe sends less.",
        )
    handled = needed.types | needed.previews
    superfluous = {
        name for one in enabled if not one.takes_all for name in one.types - handled if not name.startswith(OF_STRIPE)
    }
    if superfluous:
        yield Finding(
            Name.TYPES_SUPERFLUOUS,
            f"{_count(len(superfluous), 'type')} without a handler: recorded and ignored.",
            "Unsubscribe them in Stripe's Dashboard, unless you keep them for later.",
            tuple(sorted(superfluous)),
        )


def _versions(ours: Sequence[Registration]) -> Iterator[Finding]:
    anew = "A version cannot be changed: create an endpoint of another one, add its secret, then delete this one."
    for one in ours:
        if not one.is_enabled or one.payload is Payload.THIN:
            continue
        if one.api_version is None:
            yield Finding(
                Name.VERSION_FLOATS,
                f"{one.id} has no api_version: its events change when the account's default is upgraded.",
                f"{anew} Take {NEWEST}.",
            )
        elif not is_known(one.api_version):
            yield Finding(
                Name.VERSION_UNKNOWN,
                f"{one.id} has api_version {one.api_version}, which this release does not know.",
                f"Upgrade Sluice; or: {anew} The newest that this release knows is {NEWEST}.",
            )


def _secrets(ours: Sequence[Registration], proofs: Proofs | None) -> Iterator[Finding]:
    if proofs is None:
        yield Finding(
            Name.SECRETS_UNKNOWN,
            "Which secret verified a webhook, and when, was not looked up.",
            "Set DATABASE_URL to the database of this Sluice.",
        )
        return
    if proofs.configured is None:
        if ours and not proofs.last_seen:
            yield _unproven("No secret of the platform's has verified a webhook")
        return
    if not proofs.configured:
        yield Finding(
            Name.SECRET_MISSING,
            "No webhook secret is configured: ingest answers Stripe 503.",
            "Set STRIPE_WEBHOOK_SECRET, or STRIPE_WEBHOOK_SECRET_FILE, of ingest to the endpoint's signing secret.",
        )
    for one in proofs.configured:
        if one not in proofs.last_seen:
            yield _unproven(f"{one} has verified no webhook")
    yield from _idle(ours, proofs.configured, proofs)


def _unproven(subject: str) -> Finding:
    return Finding(
        Name.SECRET_UNPROVEN,
        f"{subject}: it may be a wrong one, and then every webhook is refused.",
        "Let Stripe send one (Dashboard, or `stripe trigger payment_intent.succeeded`), and look again.",
    )


def _idle(ours: Sequence[Registration], configured: Sequence[str], proofs: Proofs) -> Iterator[Finding]:
    """Secrets that others have replaced: more are configured than there are registrations to sign with them."""
    seen = sorted((proofs.last_seen[one], one) for one in configured if one in proofs.last_seen)
    spare = len(configured) - len([one for one in ours if one.is_enabled])
    for last_at, one in seen[: max(0, spare)]:
        newest, _ = seen[-1]
        if newest - last_at > LONGEST_OVERLAP_SECONDS:
            yield Finding(
                Name.SECRET_IDLE,
                f"{one} has verified nothing for {int((newest - last_at) // 3600)} h, while others have.",
                "If you rolled it, or deleted its endpoint, take it out of STRIPE_WEBHOOK_SECRET: nothing needs it.",
            )


def _unseen(stripe: AtStripe) -> Iterator[Finding]:
    if stripe.destinations_unseen is not None:
        yield Finding(
            Name.DESTINATIONS_UNSEEN,
            f"Event destinations were not listed, so thin ones are not judged: {stripe.destinations_unseen}",
            "Give the key the right to read event destinations.",
        )


def clock_findings(seconds: float, *, whose: str) -> tuple[Finding, ...]:
    """
    A clock that is wrong.

    Args:
        seconds: how far it is ahead of Stripe's.
    """
    if abs(seconds) <= SKEW_SECONDS:
        return ()
    where = "ahead of" if seconds > 0 else "behind"
    return (
        Finding(
            Name.CLOCK_SKEW,
            f"{whose} clock is {abs(seconds):.0f} s {where} Stripe's. At 300 s a signature counts as stale or future.",
            "Set it by NTP.",
        ),
    )


def _by_sources(ours: Sequence[Registration]) -> Mapping[frozenset[str], Sequence[Registration]]:
    groups: dict[frozenset[str], list[Registration]] = defaultdict(list)
    for one in ours:
        groups[one.whose].append(one)
    return groups


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
