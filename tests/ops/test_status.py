from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from sluice.ops import replicas
from sluice.ops.admin import summed
from sluice.runtime.health_targets import Target
from tests.ops.cli import cli, cli_json
from tests.ops.rows import connected, insert, insert_webhook

EMPTY = {
    "backlog": 0,
    "oldest_unprocessed_age_seconds": 0.0,
    "failing": 0,
    "parked": 0,
    "dead": 0,
    "received_last_hour": 0,
    "processed_last_hour": 0,
    "unresolved_errors": {},
}
METRICS = """# HELP postgres_pool_waiters Waiters.
postgres_pool_acquire_timeouts_total{pool="a"} 1.0
postgres_pool_acquire_timeouts_total{pool="b"} 2.0
nothing_yet NaN
"""


class AdminPort(Protocol):
    """Starts a service's admin port."""

    async def __call__(self, *, metrics: str = "", waiters: int = 0, uptime: float = 9e6) -> str:
        """Its address."""
        ...


@pytest.fixture
def admin_port(aiohttp_server: AiohttpServer) -> AdminPort:
    """Admin ports of services, as many as a test wants; their public health answers on the same port."""

    async def start(*, metrics: str = "", waiters: int = 0, uptime: float = 9e6) -> str:
        async def status(_: web.Request) -> web.Response:
            pool = {"size": 4, "idle": 1, "busy": 3, "max": 10, "waiters": waiters}
            return web.json_response({"service": "x", "ready": True, "uptime_seconds": uptime, "pool": pool})

        async def exposition(_: web.Request) -> web.Response:
            return web.Response(text=metrics)

        app = web.Application()
        app.router.add_get("/status", status)
        app.router.add_get("/metrics", exposition)
        app.router.add_get("/api/health", exposition)
        server = await aiohttp_server(app)
        return f"http://127.0.0.1:{server.port}"

    return start


async def test_an_empty_database_is_calm(database_url: str) -> None:
    """Zeros; services without a configured address are unknown, not broken."""
    told = await cli_json("status", DATABASE_URL=database_url)
    assert {name: told[name] for name in EMPTY} == EMPTY
    assert told["connections"] >= 1
    assert told["max_connections"] > told["connections"]
    assert [service["problem"] for service in told["services"]] == [
        "no address of ingest is known",
        "no address of processor is known",
        "no address of healthd is known",
    ]


@pytest.mark.parametrize("role", ["sluice_healthd", "sluice_migrator"])
async def test_least_privilege_is_enough_to_see_how_it_stands(database_url: str, role: str) -> None:
    """No superuser is needed; healthd's role suffices."""
    told = await cli_json("status", DATABASE_URL=f"{database_url}?options=-crole%3D{role}")
    assert told["backlog"] == 0


async def test_each_kind_of_webhook_is_counted_where_it_belongs(database_url: str) -> None:
    """Waiting, failing, parked, dead, processed, and an earlier application's row, which is no backlog."""
    now = datetime.now(UTC)
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_waiting", created_at=now - timedelta(minutes=5))
        await insert_webhook(connection, "evt_failing", outcome="failed", processing_attempts=2)
        await insert_webhook(
            connection, "evt_parked", outcome="parked", parked_at=now, created_at=now - timedelta(days=2)
        )
        await insert_webhook(connection, "evt_dead", outcome="failed", dead_at=now)
        await insert_webhook(connection, "evt_done", outcome="applied", processed=True, processed_at=now)
        await insert_webhook(connection, "evt_old_application", next_attempt_at=None, published_at=None)
        await insert(connection, "error_logs", severity="critical", message="x")
        await insert(connection, "error_logs", severity="warning", message="x", resolved=True)
    told = await cli_json("status", DATABASE_URL=database_url)
    assert (told["backlog"], told["failing"], told["parked"], told["dead"]) == (3, 1, 1, 1)
    assert 299 < told["oldest_unprocessed_age_seconds"] < 400
    assert (told["received_last_hour"], told["processed_last_hour"]) == (5, 1)
    assert told["unresolved_errors"] == {"critical": 1}


async def test_the_screen_shows_what_matters(database_url: str, admin_port: AdminPort) -> None:
    """Every heading and figure of the one screen, on a terminal 80 columns wide."""
    url = await admin_port()
    result = await cli(
        "status", DATABASE_URL=database_url, INGEST_ADMIN_URL=url, PROCESSOR_ADMIN_URL="http://127.0.0.1:1"
    )
    assert result.exit_code == 0
    for word in ("backlog", "oldest", "parked", "dead", "ready", "busy", "server connections", "none"):
        assert word in result.stdout
    assert "unknown" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


async def test_pools_come_from_the_admin_ports(database_url: str, admin_port: AdminPort) -> None:
    """busy, idle, max and waiting of each service that answers."""
    url = await admin_port(waiters=7)
    told = await cli_json("status", DATABASE_URL=database_url, INGEST_ADMIN_URL=url)
    assert told["services"][0]["pool"] == {"size": 4, "idle": 1, "busy": 3, "max": 10, "waiters": 7}
    assert told["services"][0]["ready"] is True


def test_samples_are_summed_over_their_labels() -> None:
    """A value that is no number does not count."""
    assert summed(METRICS) == {"postgres_pool_acquire_timeouts_total": 3.0}


async def test_an_unknown_criterion_is_no_failure(database_url: str) -> None:
    """Of an empty system nothing is known, except that no webhook died; exit code 0."""
    url = f"{database_url}?options=-crole%3Dsluice_migrator"
    result = await cli("status", "--since", "48h", DATABASE_URL=url)
    assert result.exit_code == 0
    assert result.stdout.count("unknown") == 5
    assert "To know" in result.stdout


async def test_all_that_can_be_known_passes(database_url: str, admin_port: AdminPort) -> None:
    """A window that was watched in full by services older than it."""
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_first", processed=True, processed_at=long_ago, created_at=long_ago)
        await insert_webhook(connection, "evt_done", processed=True, processed_at=datetime.now(UTC))
    url = await admin_port()
    services = {f"{name}_ADMIN_URL": url for name in ("INGEST", "PROCESSOR", "HEALTHD")}
    told = await cli_json("status", "--since", "2h", DATABASE_URL=database_url, GATEWAY_URL=url, **services)
    assert [one["verdict"] for one in told] == ["pass", "pass", "pass", "unknown", "unknown"]
    assert "never 503 on record" in told[3]["evidence"]


async def test_a_short_history_is_not_a_pass(database_url: str) -> None:
    """An hour without a failure is not 48."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_done", processed=True, processed_at=datetime.now(UTC))
    told = await cli_json("status", "--since", "48h", DATABASE_URL=database_url)
    assert told[0]["verdict"] == "unknown"
    assert "none so far" in told[0]["evidence"]


async def test_failures_fail_with_exit_code_1(database_url: str, admin_port: AdminPort) -> None:
    """A dead webhook that no error row names, a pool that timed out, a health endpoint that is away."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_dead", outcome="failed", dead_at=datetime.now(UTC))
    url = await admin_port(metrics=METRICS, uptime=9e4)
    result = await cli(
        "status", "--since", "48h", "--json",
        DATABASE_URL=database_url, INGEST_ADMIN_URL=url, GATEWAY_URL="http://127.0.0.1:1",
    )  # fmt: skip
    assert result.exit_code == 1
    assert result.stdout.count('"fail"') == 4
    assert "1 died" in result.stdout
    assert "waits that timed out: ingest 3" in result.stdout


async def test_a_death_that_is_on_record_is_not_silent(database_url: str) -> None:
    """The third criterion is about the record, not about the failure."""
    async with connected(database_url) as connection:
        await insert_webhook(connection, "evt_dead", outcome="failed", dead_at=datetime.now(UTC))
        await insert(connection, "error_logs", severity="critical", message="evt_dead is dead", event_id="evt_dead")
    result = await cli("status", "--since", "48h", "--json", DATABASE_URL=database_url)
    assert result.stdout.count('"fail"') == 1


async def test_what_is_no_span_is_a_usage_error(database_url: str) -> None:
    """Exit code 2 and an example."""
    result = await cli("status", "--since", "two days", DATABASE_URL=database_url)
    assert result.exit_code == 2
    assert "48h" in result.stderr


async def test_every_replica_of_a_target_is_asked(
    database_url: str, admin_port: AdminPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names that healthd has; a name that stands for nothing is unknown."""
    port = int((await admin_port()).rpartition(":")[2])

    async def resolve(target: Target) -> Sequence[str]:
        return {"ingest.svc": ["127.0.0.1", "127.0.0.2"], "processor.svc": ["127.0.0.1"]}.get(target.host, [])

    monkeypatch.setattr(replicas, "_resolve", resolve)
    targets = f"ingest=http://ingest.svc:{port},processor=http://processor.svc:{port},reconciler=http://gone.svc:1"
    told = await cli_json("status", DATABASE_URL=database_url, HEALTH_TARGETS=targets)
    assert {service["name"]: (service["ready"], service["problem"]) for service in told["services"]} == {
        "ingest 127.0.0.1": (True, None),
        "ingest 127.0.0.2": (False, f"http://127.0.0.2:{port} does not answer (ClientConnectorError)"),
        "processor": (True, None),
        "reconciler": (False, "no address of reconciler is known"),
    }
    shown = await cli("status", DATABASE_URL=database_url, HEALTH_TARGETS=targets)
    assert max(map(len, shown.stdout.splitlines())) <= 80


async def test_targets_that_cannot_be_read_are_refused(database_url: str) -> None:
    """With the words that healthd has for it."""
    result = await cli("status", DATABASE_URL=database_url, HEALTH_TARGETS="ingest")
    assert (result.exit_code, "HEALTH_TARGETS wants" in result.stderr) == (2, True)


async def test_a_fault_of_the_schema_comes_with_its_cure(database_url: str, role_url: Callable[[str], str]) -> None:
    """For an operator too; cured, it is gone."""
    url = role_url("operator")
    async with connected(database_url) as connection:
        await connection.execute("ALTER TABLE payment DISABLE ROW LEVEL SECURITY")
        [fault] = (await cli_json("status", DATABASE_URL=url))["schema_faults"]
        shown = await cli("status", DATABASE_URL=url)
        assert fault["name"] == "security_off"
        assert fault["cure"] in shown.stdout
        await connection.execute(fault["cure"])
    assert (await cli_json("status", DATABASE_URL=url))["schema_faults"] == []
