"""A gap at Stripe degrades health, and never makes it unhealthy."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from healthd.database import look_at_stripe
from healthd.findings import Limits, service_findings, stripe_findings
from healthd.observations import Configured, Observation, Problem, ServiceSeen, StripeSeen
from healthd.rules import Reason, Status
from healthd.verdict import judge
from sluice.postgres.pool import Database
from tests.healthd.builders import REPLICA, seen

SECONDS = 5.0
LIMITS = Limits()


@pytest_asyncio.fixture
async def own(role_url: Callable[[str], str]) -> AsyncIterator[Database]:
    """PostgreSQL as healthd's own role sees it."""
    async with Database.connect(role_url("healthd"), application_name="healthd", max_size=1) as database:
        yield database


@pytest.mark.parametrize(
    ("stripe", "reasons"),
    [
        (StripeSeen(), set()),
        (StripeSeen(accounts=2, behind_seconds=299), set()),
        (StripeSeen(accounts=2, behind_seconds=301), {Reason.RECONCILE_BEHIND}),
        (StripeSeen(accounts=2, missing=1), {Reason.RECONCILE_GAP}),
        (StripeSeen(accounts=2, refused=1), {Reason.STRIPE_API_REFUSED}),
        (StripeSeen(thin_waiting=9, thin_oldest_age_seconds=299), set()),
        (StripeSeen(thin_waiting=9, thin_oldest_age_seconds=301), {Reason.THIN_EVENTS_OLD}),
    ],
)
def test_each_figure_has_its_finding(stripe: StripeSeen, reasons: set[Reason]) -> None:
    """All of them degrade, none of them more."""
    findings = stripe_findings(seen(stripe), LIMITS)
    assert {finding.reason for finding in findings} == reasons
    assert judge(findings).status is (Status.DEGRADED if reasons else Status.HEALTHY)


def test_a_look_that_failed_finds_nothing() -> None:
    """PostgreSQL away is another finding's to tell; a healthd that starts meanwhile has seen no gap either."""
    observation: Observation[StripeSeen] = seen(StripeSeen(missing=1)).missed(Problem.TIMED_OUT, at=1)
    assert not stripe_findings(observation, LIMITS)


def test_a_reconciler_without_a_key_is_a_finding() -> None:
    """It runs, and asks nothing."""
    without = ServiceSeen((replace(REPLICA, api_key=Configured.MISSING),))
    findings = service_findings("reconciler", seen(without))
    assert {finding.reason for finding in findings} == {Reason.STRIPE_API_REFUSED}


@pytest.mark.parametrize(("seconds", "reasons"), [(299.0, set()), (301.0, {Reason.CANARY_SILENT})])
def test_pings_without_an_echo_degrade(seconds: float, reasons: set[Reason]) -> None:
    """Of several replicas one pings."""
    service = ServiceSeen((REPLICA, replace(REPLICA, ping_waits_seconds=seconds)))
    findings = service_findings("reconciler", seen(service))
    assert {finding.reason for finding in findings} == reasons
    assert judge(findings).status is (Status.DEGRADED if reasons else Status.HEALTHY)


async def test_the_tables_are_read_as_they_are_meant(database: Database, own: Database) -> None:
    """An account that left, and one that is listed no more, are no gap; the one furthest behind counts."""
    assert await look_at_stripe(own, within_seconds=SECONDS) == StripeSeen()
    await database.execute(
        "INSERT INTO reconcile_account (livemode, account, complete_until, pass_missing, refused, problem, is_listed)"
        " VALUES (true, 'platform', now() - interval '10 minutes', 3, 1, 'right_missing', true),"
        " (true, 'acct_1', now(), 0, 0, NULL, true),"
        " (true, 'acct_left', now() - interval '9 days', 0, 0, 'account_closed', true),"
        " (true, 'acct_out', now() - interval '9 days', 5, 5, 'key_refused', false)"
    )
    await database.execute(
        "INSERT INTO thin_fetch (stripe_event_id, asked_at) VALUES ('evt_1', now() - interval '1 h')"
    )
    stripe = await look_at_stripe(own, within_seconds=SECONDS)
    assert (stripe.accounts, stripe.missing, stripe.refused, stripe.thin_waiting) == (2, 4, 1, 1)
    assert stripe.behind_seconds == pytest.approx(600, abs=30)
    assert stripe.thin_oldest_age_seconds == pytest.approx(3600, abs=30)
