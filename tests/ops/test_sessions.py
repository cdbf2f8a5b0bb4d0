"""``sluice sessions``: who holds what, for a login that may see it."""

import asyncio

import pytest

from tests.ops.cli import cli, cli_json
from tests.ops.rows import connected
from tests.waiting import until

WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def operator_url(role_url: "object") -> str:
    """The address with an operator's login."""
    assert callable(role_url)
    return str(role_url("operator"))


async def test_a_session_that_waits_names_the_one_that_holds_its_lock(database_url: str, operator_url: str) -> None:
    """Both of another login."""
    async with connected(database_url) as holder, connected(database_url) as waiter, connected(database_url) as looker:
        await holder.execute("BEGIN; LOCK TABLE events")
        task = asyncio.create_task(waiter.execute("BEGIN; LOCK TABLE events; COMMIT"))
        await until(lambda: looker.fetchval(WAITS))
        told = await cli_json("sessions", DATABASE_URL=operator_url)
        shown = await cli("sessions", DATABASE_URL=operator_url)
        held, waits = holder.get_server_pid(), waiter.get_server_pid()
        await holder.execute("ROLLBACK")
        await task
    by_pid = {one["pid"]: one for one in told["transactions"]}
    assert (by_pid[held]["waits_for"], by_pid[held]["state"]) == ([], "idle in transaction")
    assert (by_pid[waits]["waits_for"], by_pid[waits]["waits_for_lock"]) == ([held], True)
    assert told["sees_all"] is True
    assert str(waits) in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


async def test_a_login_that_sees_only_its_own_is_told_the_cure(database_url: str, operator_url: str) -> None:
    """Where the migration might not give it the right."""
    async with connected(database_url) as owner:
        try:
            await owner.execute("REVOKE pg_read_all_stats FROM sluice_operator")
            result = await cli("sessions", DATABASE_URL=operator_url)
        finally:
            await owner.execute("GRANT pg_read_all_stats TO sluice_operator")
    assert result.exit_code == 0
    assert "GRANT pg_read_all_stats TO sluice_operator" in result.stdout
