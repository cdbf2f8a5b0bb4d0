"""The public port's answer, without a process: the public part, and the details for an operator."""

import pytest
from pytest_aiohttp import AiohttpClient

from healthd.app import make_app
from healthd.findings import Limits
from healthd.health_state import HealthState
from healthd.observations import Observation, Problem, ServiceSeen
from tests.healthd.builders import DATABASE, OTHER_REPLICA, REPLICA, seen


def state() -> HealthState:
    """PostgreSQL's name was resolved once, and not at the last look."""
    state = HealthState(["ingest", "processor"], Limits())
    at = state.now()
    state.put_service("ingest", seen(ServiceSeen((REPLICA, OTHER_REPLICA)), at=at))
    state.put_service("processor", Observation(ServiceSeen((REPLICA,)), seen_at=at, looked_at=at))
    state.put_database(seen(DATABASE, at=at).missed(Problem.UNRESOLVED, at=at))
    return state


@pytest.mark.parametrize("with_details", [False, True])
async def test_why_postgresql_cannot_be_reached_is_for_operators(
    aiohttp_client: AiohttpClient, with_details: bool
) -> None:
    """503 without details; among the details stands that the name cannot be resolved."""
    client = await aiohttp_client(make_app(state(), with_details=with_details))
    async with client.get("/api/health") as response:
        assert response.status == 503
        told = await response.json()
    assert told["database"].get("problem") == ("unresolved" if with_details else None)
    assert ("reasons" in told) is with_details


async def test_what_is_not_there_is_told_in_json(aiohttp_client: AiohttpClient) -> None:
    """404 and 405, as every service of Sluice answers."""
    client = await aiohttp_client(make_app(state(), with_details=False))
    for method, path, code in (("GET", "/metrics", "not_found"), ("POST", "/api/health", "method_not_allowed")):
        async with client.request(method, path) as response:
            assert (await response.json())["error"]["code"] == code
