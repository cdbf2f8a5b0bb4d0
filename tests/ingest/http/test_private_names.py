"""The private names of aiohttp's that the fast path rests on: one that is gone is found here, and not in production."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from ingest.http import connection, fast_path, server
from tests.private_names import private_names

OF_REQUEST_HANDLER = (
    "_buffer_paused",
    "_current_request",
    "_handler_waiter",
    "_loop",
    "_manager",
    "_messages",
    "_next_keepalive_close_time",
    "_parser",
    "_paused",
    "_request_count",
    "_request_in_progress",
    "_waiter",
)
OF_SERVER = ("_connections", "_loop")
OF_HEAD = ("headers", "method", "path", "should_close", "upgrade", "version")


def test_no_other_private_name_of_aiohttp_is_used() -> None:
    """Else the lists here say too little."""
    assert private_names(connection) == set(OF_REQUEST_HANDLER)
    assert private_names(server) == set(OF_SERVER)
    assert private_names(fast_path) == set()


@pytest.mark.parametrize("name", OF_REQUEST_HANDLER)
async def test_aiohttps_connection_has_the_private_name(name: str) -> None:
    """Set once a connection is made, at the latest."""
    assert hasattr(web.RequestHandler(web.Server(_never), loop=asyncio.get_running_loop()), name)


@pytest.mark.parametrize("name", OF_SERVER)
async def test_aiohttps_server_has_the_private_name(name: str) -> None:
    """An attribute of each server."""
    assert hasattr(web.Server(_never), name)


@pytest.mark.parametrize("name", OF_HEAD)
def test_aiohttps_request_head_has_the_name(name: str) -> None:
    """Public words of a class that aiohttp documents nowhere."""
    assert hasattr(RawRequestMessage, name)


def test_aiohttps_parser_is_told_what_is_consumed() -> None:
    """Else it stops after a few dozen requests."""
    assert callable(HttpRequestParser.message_consumed)


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError(request)
