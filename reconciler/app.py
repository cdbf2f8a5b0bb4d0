"""The reconciler put together: what runs, and what it tells of itself."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import partial

from reconciler import metrics
from reconciler.account_pass import Passes
from reconciler.budget import Budget
from reconciler.endpoint.audit import Needed
from reconciler.endpoint.canary import Canary, echoes_in
from reconciler.endpoint.watch import EndpointWatch, proofs_in, subscribed_types
from reconciler.lease import Lease
from reconciler.rounds import Choice, Rhythm, Rounds
from reconciler.settings import KEY_NAME, ReconcilerSettings, key_fault_of, keys_by_mode
from reconciler.standing import QUERIES, Standings
from reconciler.stripe_api import StripeApi, http_client
from reconciler.thin.fetches import ThinFetches
from reconciler.thin.listing import ThinLists
from sluice.postgres.pool import DATABASE_ERRORS, Database
from sluice.postgres.reasons import reason_of
from sluice.runtime import logs
from sluice.runtime.endless import tell_to_end, turn
from sluice.runtime.probes import JsonValue
from sluice.runtime.secrets import RotatingSecret
from sluice.service.first_contact import hold_readiness
from sluice.service.service import Service

NAME = "reconciler"
_MODES: Mapping[bool, str] = {True: "live", False: "test"}
_ASK_SECONDS = 3.0
_ROUNDS_BETWEEN_THIN_LISTS = 10
_LONGEST_LOOK_SECONDS = 60.0


async def serve(service: Service) -> None:
    """Run until ``service.stop`` is set; it starts, and stays, without PostgreSQL and without Stripe."""
    settings = service.settings
    if not isinstance(settings, ReconcilerSettings):
        raise TypeError("the reconciler needs its own settings")
    keys = RotatingSecret(KEY_NAME, fault_of=key_fault_of)
    async with (
        Database.open(settings, f"sluice-{NAME}") as database,
        apis_of(settings, keys) as apis,
        hold_readiness(
            service, partial(what_prevents_work, database), limit_seconds=settings.ready_without_database_seconds
        ),
    ):
        lease = Lease(database)
        rounds = _rounds(service, settings, database, apis, lease, keys)
        _report(service, database, lease, keys, settings)
        works = [
            rounds.run,
            ThinFetches.over(database, apis, service.errors).run,
            _thin_lists(service, settings, database, apis, lease).run,
        ]
        if settings.public_url:
            works.append(_endpoint_watch(service, settings, database, apis).run)
        if settings.public_url and settings.canary_seconds:
            works.append(_canary(service, settings, database, apis).run)
        working = service.start_endless("reconcile", partial(_work, lease, works))
        service.probes.has_started = True
        await service.stop.wait()
        tell_to_end(working)


@asynccontextmanager
async def apis_of(settings: ReconcilerSettings, keys: RotatingSecret) -> AsyncIterator[Mapping[bool, StripeApi]]:
    """Stripe's API in both modes, each within a budget of its own; a mode without a key refuses by itself."""
    async with http_client(request_seconds=settings.stripe_request_seconds) as http:
        yield {
            livemode: StripeApi(
                http,
                mode=mode,
                key=partial(_key, keys, livemode),
                base=settings.stripe_api_base,
                budget=Budget(settings.stripe_requests_per_second),
                request_seconds=settings.stripe_request_seconds,
            )
            for livemode, mode in _MODES.items()
        }


async def what_prevents_work(database: Database) -> str | None:
    """Why PostgreSQL does not take our work; None: nothing prevents it."""
    try:
        await database.fetch(QUERIES["read_standing"], False, "", within_seconds=_ASK_SECONDS)
    except DATABASE_ERRORS as error:
        return reason_of(error)
    return None


async def _work(lease: Lease, works: Sequence[Callable[[], Awaitable[None]]]) -> None:
    while True:
        turn()
        try:
            await lease.while_held(*works)
        finally:
            metrics.forget_accounts()


def _rounds(
    service: Service,
    settings: ReconcilerSettings,
    database: Database,
    apis: Mapping[bool, StripeApi],
    lease: Lease,
    keys: RotatingSecret,
) -> Rounds:
    standings = Standings(database, lease.holder)
    passes = Passes(database, standings, apis, service.errors, settings.reconcile_overlap_seconds)
    choice = Choice(partial(_modes, keys), settings.accounts, settings.accounts_excluded)
    rhythm = Rhythm(settings.reconcile_every_seconds, first_seconds=settings.reconcile_first_seconds)
    return Rounds(passes, standings, choice, rhythm)


def _thin_lists(
    service: Service, settings: ReconcilerSettings, database: Database, apis: Mapping[bool, StripeApi], lease: Lease
) -> ThinLists:
    return ThinLists(
        database,
        apis,
        service.errors,
        lease.holder,
        subscribed_types,
        every_seconds=settings.reconcile_every_seconds * _ROUNDS_BETWEEN_THIN_LISTS,
        first_seconds=settings.reconcile_first_seconds,
        overlap_seconds=settings.reconcile_overlap_seconds,
    )


def _endpoint_watch(
    service: Service, settings: ReconcilerSettings, database: Database, apis: Mapping[bool, StripeApi]
) -> EndpointWatch:
    needed = Needed(settings.public_url, livemode=settings.is_production, types=frozenset())
    watch = EndpointWatch(
        needed,
        apis,
        proofs=partial(proofs_in, database),
        types=subscribed_types,
        every_seconds=min(_LONGEST_LOOK_SECONDS, settings.reconcile_every_seconds),
    )
    service.probes.add_status("endpoint", watch.status)
    return watch


def _canary(
    service: Service, settings: ReconcilerSettings, database: Database, apis: Mapping[bool, StripeApi]
) -> Canary:
    canary = Canary(
        settings.public_url,
        apis[settings.is_production],
        echoes=partial(echoes_in, database),
        every_seconds=settings.canary_seconds,
    )
    service.probes.add_status("canary", canary.status)
    return canary


def _report(
    service: Service, database: Database, lease: Lease, keys: RotatingSecret, settings: ReconcilerSettings
) -> None:
    service.probes.add_status("pool", database.status)
    service.probes.add_status("database", database.reach)
    service.probes.add_status("configuration", partial(configuration, keys, livemode=settings.is_production))
    service.probes.add_status("work", lambda: {"holds_lease": lease.is_held})
    metrics.WORKS.set_function(lambda: float(lease.is_held))
    for mode in _MODES.values():
        metrics.expect(mode=mode, per_second=settings.stripe_requests_per_second)
    if settings.is_production not in _modes(keys):
        mode = _MODES[settings.is_production]
        fix = f"set {KEY_NAME} or {KEY_NAME}_FILE to one of {mode} mode; until then nothing is asked what never arrived"
        logs.get_logger().error("stripe_api_key_missing", mode=mode, fix=fix)


def configuration(keys: RotatingSecret, *, livemode: bool) -> Mapping[str, JsonValue]:
    """For ``/status``: whether there is a key of the mode of APP_ENV; one of the other mode opens nothing there."""
    modes = _modes(keys)
    return {"stripe_api_key": "ok" if livemode in modes else "missing", "modes": [_MODES[mode] for mode in modes]}


def _key(keys: RotatingSecret, livemode: bool) -> str | None:
    return keys_by_mode(keys.values()).get(livemode)


def _modes(keys: RotatingSecret) -> AbstractSet[bool]:
    return keys_by_mode(keys.values()).keys()
