"""Organisers' own secrets: found, cached, refreshed before a refusal, and never another's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from ingest.auth.tenant_secrets import MOST_SECRETS, TenantLimits, Tenants
from ingest.errors import SecretUnreadable, UnknownOrganiser
from sluice.postgres.pool import Database
from sluice.webhook_secret import fingerprint
from tests.ingest.running import Ingest
from tests.ingest.webhooks import OTHER_SECRET, SECRET, webhook
from tests.waiting import until

Postgres: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TENANT_SECRET = "whsec_canary_tenant_91bc"


async def organiser(postgres: Postgres, secret: str | None = TENANT_SECRET) -> UUID:
    """One more row of events."""
    row: UUID = await postgres.fetchval(
        "INSERT INTO events (id, name, webhook_secret) VALUES ($1, 'a', $2) RETURNING id", uuid4(), secret
    )
    return row


def url(tenant: object) -> str:
    """An organiser's own URL."""
    return f"/api/stripe-webhook/{tenant}"


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class CountingDatabase:
    """A database that counts what is asked of it, and can be away."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queries = 0
        self.error: Exception | None = None

    async def fetch(self, query: str, *args: object, within_seconds: float) -> object:
        """Ask the real one."""
        self.queries += 1
        if self.error is not None:
            raise self.error
        return await self.database.fetch(query, *args, within_seconds=within_seconds)


class Desk:
    """Tenants with a clock and a database in the test's hand."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.database = CountingDatabase(database)
        self.tenants = Tenants(self.database, limits=TenantLimits(waiting=50), clock=self.clock)  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """A running look-up."""
    desk = Desk(database)
    task = asyncio.create_task(desk.tenants.run())
    yield desk
    task.cancel()
    await asyncio.wait([task])


async def test_an_organisers_webhook_is_verified_with_its_own_secret(ingest: Ingest, postgres: Postgres) -> None:
    """Neither the platform's secret nor another organiser's opens its URL; nor does its own open theirs."""
    one, other = await organiser(postgres), await organiser(postgres, OTHER_SECRET)
    body = webhook("evt_1")
    reply = await ingest.deliver(body, TENANT_SECRET, path=url(one))
    assert (reply.status, reply.json["id"]) == (200, "evt_1")
    for secret, path in ((SECRET, url(one)), (OTHER_SECRET, url(one)), (TENANT_SECRET, url(other))):
        assert (await ingest.deliver(body, secret, path=path)).code == "invalid_signature"
    assert (await ingest.deliver(body, TENANT_SECRET)).code == "invalid_signature"
    row = await postgres.fetchrow("SELECT stripe_event_id, tenant, verified_by FROM webhook_logs")
    assert row is not None
    assert (row["stripe_event_id"], row["tenant"]) == (f"evt_1@{one}", str(one))
    assert row["verified_by"] == fingerprint("tenant", TENANT_SECRET)


async def test_every_spelling_of_an_id_is_one_key(ingest: Ingest, postgres: Postgres) -> None:
    """PostgreSQL says how an id is written; capitals and percent signs make no second row."""
    tenant = await organiser(postgres)
    body = webhook("evt_1")
    quoted = "".join(f"%{ord(character):02X}" for character in str(tenant))
    for number, spelling in enumerate((tenant, str(tenant).upper(), quoted)):
        reply = await ingest.deliver(body, TENANT_SECRET, path=url(spelling))
        assert (reply.status, reply.json["duplicate"]) == (200, number > 0)
    assert await postgres.fetchval("SELECT array_agg(stripe_event_id) FROM webhook_logs") == [f"evt_1@{tenant}"]


async def test_one_event_of_two_organisers_and_the_platform_is_three_rows(ingest: Ingest, postgres: Postgres) -> None:
    """Ids are unique within an account only; no event shadows another account's."""
    body = webhook("evt_1")
    for path, secret in (
        (url(await organiser(postgres)), TENANT_SECRET),
        (url(await organiser(postgres)), TENANT_SECRET),
        ("/api/stripe-webhook", SECRET),
    ):
        assert (await ingest.deliver(body, secret, path=path)).json["duplicate"] is False
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 3


@pytest.mark.parametrize("has_row", [False, True], ids=["no row", "no secret"])
async def test_an_organiser_without_a_secret_is_404(ingest: Ingest, postgres: Postgres, *, has_row: bool) -> None:
    """The same answer for a row without a secret as for no row: it tells a stranger nothing."""
    tenant = await organiser(postgres, None) if has_row else uuid4()
    for asked in (tenant, "not-a-key", "7"):
        reply = await ingest.deliver(webhook(), "", path=url(asked))
        assert (reply.status, reply.code) == (404, "unknown_organiser")
    assert await postgres.fetchval("SELECT count(*) FROM webhook_logs") == 0


async def test_a_secret_that_changed_is_read_afresh_before_a_refusal(desk: Desk, postgres: Postgres) -> None:
    """At most once a second; a forger cannot make us ask more often."""
    tenant = str(await organiser(postgres))
    seen = await desk.tenants.secrets(tenant)
    assert seen.secrets == (TENANT_SECRET,)
    assert await desk.tenants.afresh(seen, tenant) is None
    await postgres.execute("UPDATE events SET webhook_secret = $1", f"{OTHER_SECRET}, {TENANT_SECRET}")
    desk.clock.now += 1.5
    newer = await desk.tenants.afresh(seen, tenant)
    assert newer is not None
    assert newer.secrets == (OTHER_SECRET, TENANT_SECRET)
    assert await desk.tenants.secrets(tenant) == newer
    assert await desk.tenants.afresh(newer, tenant) is None
    assert desk.database.queries == 2


async def test_a_new_secret_works_without_a_wait(ingest: Ingest, postgres: Postgres) -> None:
    """The organiser rolls its secret; the webhook signed with the new one is accepted at its first delivery."""
    tenant = await organiser(postgres)
    assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(tenant))).status == 200
    await postgres.execute("UPDATE events SET webhook_secret = $1", OTHER_SECRET)
    await asyncio.sleep(1.05)  # the look-ups' own rate limit
    assert (await ingest.deliver(webhook(), OTHER_SECRET, path=url(tenant))).status == 200
    assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(tenant))).status == 400


async def test_what_was_read_is_believed_for_a_while(desk: Desk, postgres: Postgres) -> None:
    """Known ones for a minute, unknown ones for ten seconds; then PostgreSQL is asked again."""
    known, unknown = str(await organiser(postgres)), str(uuid4())
    for now, queries in ((0, 2), (9, 2), (11, 3), (12, 3), (61, 5)):
        desk.clock.now = now
        await desk.tenants.secrets(known)
        with pytest.raises(UnknownOrganiser):
            await desk.tenants.secrets(unknown)
        assert desk.database.queries == queries


async def test_an_unreadable_secret_is_503_but_a_cached_one_serves(desk: Desk, postgres: Postgres) -> None:
    """Whatever stands in the way: it is not the sender's fault."""
    tenant = str(await organiser(postgres))
    seen = await desk.tenants.secrets(tenant)
    for error in (
        asyncpg.InsufficientPrivilegeError("no"),
        TimeoutError(),
        OSError(),
        asyncpg.UndefinedColumnError("no"),
    ):
        desk.database.error = error
        desk.clock.now += 100
        assert await desk.tenants.secrets(tenant) == seen
        with pytest.raises(SecretUnreadable):
            await desk.tenants.secrets("7")
        with pytest.raises(SecretUnreadable):
            await desk.tenants.afresh(seen, tenant)


async def test_look_ups_wait_for_one_another_and_go_out_together(desk: Desk) -> None:
    """Any number of invented ids is two queries here, on one connection; too many at once are refused."""
    asked = [str(uuid4()) for _ in range(60)]
    results = await asyncio.gather(*(desk.tenants.secrets(one) for one in asked), return_exceptions=True)
    assert {type(result) for result in results} == {UnknownOrganiser, SecretUnreadable}
    assert desk.database.queries <= 2


async def test_the_platform_never_waits_for_organisers_secrets(ingest: Ingest, postgres: Postgres) -> None:
    """Events is locked; an organiser's webhook gets 503 in time, the platform's is recorded at once."""
    async with postgres.transaction():
        await postgres.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        organisers = asyncio.gather(*(ingest.deliver(webhook(), path=url(uuid4())) for _ in range(20)))
        async with asyncio.timeout(1):
            assert (await ingest.deliver(webhook())).status == 200
        assert {(reply.status, reply.code) for reply in await organisers} == {(503, "secret_unreadable")}


async def test_ingest_reads_secrets_with_its_own_role(
    role_url: Callable[[str], str], database_url: str, postgres: Postgres
) -> None:
    """Least privilege still lets it do this."""
    tenant = str(await organiser(postgres))
    async with Database.connect(role_url("ingest"), application_name="test") as database:
        desk = Desk(database)
        task = asyncio.create_task(desk.tenants.run())
        assert (await desk.tenants.secrets(tenant)).secrets == (TENANT_SECRET,)
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("stored", "word"),
    [(f'"{TENANT_SECRET}"', "quotes"), ("sk_live_51Abcdefghijklmnop", "API key"), ("whsec_short", "fewer than 16")],
)
async def test_what_can_be_no_secret_is_told_with_its_row_and_fault(
    ingest: Ingest, postgres: Postgres, capfd: pytest.CaptureFixture[str], stored: str, word: str
) -> None:
    """503 for Stripe, which comes again; one error row and one line for the operator, without the secret."""
    row = await organiser(postgres, stored)
    for secret in (TENANT_SECRET, stored, OTHER_SECRET):
        reply = await ingest.deliver(webhook(), secret, path=url(row))
        assert (reply.status, reply.code) == (503, "secret_unusable")
    found = "SELECT message, event_id, request_data::text AS about FROM error_logs"
    await until(lambda: postgres.fetchval("SELECT count(*) = 1 FROM error_logs"))
    error = await postgres.fetchrow(found)
    assert error is not None
    assert word in error["message"]
    assert str(row) in error["message"]
    told = capfd.readouterr().err + error["message"] + error["about"]
    assert "organiser_secret_unusable" in told
    assert "invalid_signature" not in told
    assert stored not in told
    await postgres.execute("UPDATE events SET webhook_secret = $1", TENANT_SECRET)
    await until(lambda: _is_accepted(ingest, row))


async def _is_accepted(ingest: Ingest, row: object) -> bool:
    return (await ingest.deliver(webhook(), TENANT_SECRET, path=url(row))).status == 200


async def test_a_good_secret_beside_a_bad_one_counts(ingest: Ingest, postgres: Postgres) -> None:
    """The bad one is told, and verifies nothing; a guess of it is refused."""
    row = await organiser(postgres, f"short, {TENANT_SECRET}")
    assert (await ingest.deliver(webhook(), TENANT_SECRET, path=url(row))).status == 200
    assert (await ingest.deliver(webhook(), "short", path=url(row))).code == "invalid_signature"
    await until(lambda: postgres.fetchval("SELECT count(*) = 1 FROM error_logs"))


async def test_so_many_secrets_of_an_organiser_count_and_no_more(desk: Desk, postgres: Postgres) -> None:
    """Each costs every forged webhook a verification."""
    row = str(await organiser(postgres, ",".join(f"whsec_secret_{number:05d}" for number in range(12))))
    seen = await desk.tenants.secrets(row)
    assert len(seen.secrets) == MOST_SECRETS
    assert seen.fault is not None


async def test_invented_ids_are_read_after_organisers_that_are_known(desk: Desk, postgres: Postgres) -> None:
    """However many wait; those past their number are refused, known ones never for their sake."""
    known = str(await organiser(postgres))
    seen = await desk.tenants.secrets(known)
    desk.clock.now += 100
    invented = [asyncio.create_task(desk.tenants.secrets(str(uuid4()))) for _ in range(60)]
    await asyncio.sleep(0)
    queries = desk.database.queries
    newer = await desk.tenants.afresh(seen, known)
    assert newer is not None
    assert newer.secrets == (TENANT_SECRET,)
    assert desk.database.queries <= queries + 2
    results = await asyncio.gather(*invented, return_exceptions=True)
    assert Counter(type(result) for result in results) == {UnknownOrganiser: 50, SecretUnreadable: 10}
