"""The calls to Stripe that would cure what can be cured there, and their making."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from reconciler.endpoint.audit import Needed, missing_types, ours_of
from reconciler.endpoint.listing import DESTINATIONS, ENDPOINTS
from reconciler.endpoint.registration import Registration
from reconciler.failures import StripeUnavailable
from reconciler.stripe_api import StripeApi
from sluice.contract.document import JsonObject
from sluice.payments.api_version import NEWEST


@dataclass(frozen=True, slots=True)
class Call:
    """One POST."""

    purpose: str
    path: str
    parameters: dict[str, str | int] = field(default_factory=dict)
    gives_secret: bool = False
    """Whether the answer holds a new signing secret, which Stripe shows this once."""


def plan(needed: Needed, registrations: Sequence[Registration]) -> tuple[Call, ...]:
    """
    The calls that lead to one enabled endpoint with all types; none that takes something away.

    Args:
        registrations: those in the mode that is needed, for any URL.
    """
    ours = ours_of(needed, registrations)
    if not ours:
        return (_create(needed),)
    return tuple(_changes(needed, ours))


def _create(needed: Needed) -> Call:
    return Call(
        f"create the endpoint {needed.url} in {needed.mode} mode",
        ENDPOINTS,
        {
            "url": needed.url,
            "api_version": NEWEST,
            "description": "Sluice",
            **_enabled_events(needed.types),
        },
        gives_secret=True,
    )


def _changes(needed: Needed, ours: Sequence[Registration]) -> Iterator[Call]:
    to_enable = _to_enable(ours)
    after = [*(one for one in ours if one.is_enabled), *(replace(one, is_enabled=True) for one in to_enable)]
    lacks = dict(missing_types(needed, after))
    for one in after:
        added = lacks.pop(one.whose, frozenset()) if one.takes_more else frozenset()
        enables = any(one.id == other.id for other in to_enable)
        if added or (enables and one.is_endpoint):
            yield _change(one, added, enables=enables)
        elif enables:
            yield Call(f"enable {one.id}", f"{DESTINATIONS}/{one.id}/enable")


def _to_enable(ours: Sequence[Registration]) -> Sequence[Registration]:
    """Of those that are disabled and have no enabled one beside them, the newest of each kind."""
    live = {(one.payload, one.whose) for one in ours if one.is_enabled}
    newest = {(one.payload, one.whose): one for one in sorted(ours, key=lambda one: one.created)}
    return [one for kind, one in newest.items() if kind not in live]


def _change(one: Registration, added: frozenset[str], *, enables: bool) -> Call:
    purposes = [f"enable {one.id}"] if enables else []
    parameters: dict[str, str | int] = {"disabled": "false"} if enables else {}
    if added:
        purposes.append(f"subscribe {one.id} to {len(added)} more type{'' if len(added) == 1 else 's'}")
        parameters |= _enabled_events(one.subscribed | added)
    return Call(" and ".join(purposes), f"{ENDPOINTS}/{one.id}", parameters)


def _enabled_events(types: frozenset[str]) -> dict[str, str | int]:
    return {f"enabled_events[{place}]": name for place, name in enumerate(sorted(types))}


def shown(call: Call) -> str:
    """The call as a person reads it; it holds no secret."""
    lines = [f"POST {call.path}", *(f"  {name}={shlex.quote(str(value))}" for name, value in call.parameters.items())]
    return "\n".join(lines)


async def make(api: StripeApi, call: Call) -> str | None:
    """
    Make a call; the signing secret, where the answer gives one.

    Raises:
        Failure: as ``StripeApi.post``.
    """
    answer = await api.post(call.path, call.parameters)
    return _secret_of(answer.document) if call.gives_secret else None


def _secret_of(document: JsonObject) -> str:
    secret = document.get("secret")
    if not isinstance(secret, str) or not secret:
        raise StripeUnavailable(
            f"Stripe created {document.get('id')} and gave no signing secret. Find it in the Dashboard."
        )
    return secret
