"""The public port's answer, without a process: what anybody may know, and what an operator sees besides."""

import pytest
from pytest_aiohttp import AiohttpClient

from healthd.app import make_app
from healthd.findings import Limits
from healthd.health_state import Board
from healthd.observations import Problem, ServiceSeen, Sight
from tests.healthd.builders import DATABASE, OTHER_REPLICA, REPLICA, seen


def board() -> Board:
    """PostgreSQL's name was resolved once, and not at the last look."""
    board = Board(["ingest", "processor"], Limits())
    at = board.now()
    board.put_service("ingest", seen(ServiceSeen((REPLICA, OTHER_REPLICA)), at=at))
    board.put_service("processor", Sight(ServiceSeen((REPLICA,)), seen_at=at, looked_at=at))
    board.put_database(seen(DATABASE, at=at).missed(Problem.UNRESOLVED, at=at))
    return board


@pytest.mark.parametrize("with_details", [False, True])
async def test_why_postgresql_cannot_be_reached_is_for_operators(
    aiohttp_client: AiohttpClient, with_details: bool
) -> None:
    """503 to everybody; that it is the name that cannot be resolved stands among the details."""
    client = await aiohttp_client(make_app(board(), with_details=with_details))
    async with client.get("/api/health") as response:
        assert response.status == 503
        told = await response.json()
    assert told["database"].get("problem") == ("unresolved" if with_details else None)
    assert ("reasons" in told) is with_details


async def test_what_is_not_there_is_told_in_json(aiohttp_client: AiohttpClient) -> None:
    """404 and 405, as every service of Sluice answers."""
    client = await aiohttp_client(make_app(board(), with_details=False))
    for method, path, code in (("GET", "/metrics", "not_found"), ("POST", "/api/health", "method_not_allowed")):
        async with client.request(method, path) as response:
            assert (await response.json())["error"]["code"] == code
