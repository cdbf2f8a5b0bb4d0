"""Every loop that should never end is watched, in each service."""

import aiohttp
import pytest

from devstack.stack import Stack
from devstack.wiring import WITHOUT_NATS

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYWHERE = {"endless_watch", "error_log", "jetstream", "loop_lag", "postgres_floor"}
TASKS = {
    "ingest": {"journal", "relay", "tenants"},
    "processor": {
        *(f"consume_{loop}" for loop in range(4)),
        "apart_blocking",
        "apart_heavy",
        "apart_slow",
        "heal",
        "in_hand",
        "operations",
        "resume",
        "stream_watch",
        "postgres_floor_2",
    },
    "healthd": {"poll_database", "poll_ingest", "poll_processor", "poll_reconciler", "poll_stream", "poll_console"},
    "console": {"rates"},
}


@pytest.mark.parametrize("name", list(TASKS))
async def test_each_service_shows_the_age_of_each_of_its_loops(stack: Stack, name: str) -> None:
    """None is left out, and an idle one turns, too: a new loop is added here."""
    assert await stack.wait_ready(name)
    async with (
        aiohttp.ClientSession() as session,
        session.get(stack.services[name].admin_url + "/status") as answer,
    ):
        tasks = (await answer.json())["tasks"]
    everywhere = EVERYWHERE - {"jetstream"} if name in WITHOUT_NATS else EVERYWHERE
    assert set(tasks) == everywhere | TASKS[name]
    assert max(task["last_turn_age_seconds"] for task in tasks.values()) < 60
