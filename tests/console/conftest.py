"""Consoles for tests, with people in front of them."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient

from tests.console.serving import OPERATOR, VIEWER, Person, serving


@pytest_asyncio.fixture
async def console(role_url: Callable[[str], str]) -> "AsyncIterator[TestClient[web.Request, web.Application]]":
    """A console behind a proxy on this machine, with actions."""
    async with serving(role_url("console")) as client:
        yield client


@pytest.fixture
def operator(console: "TestClient[web.Request, web.Application]") -> Person:
    """A person who may change things."""
    return Person(console, OPERATOR)


@pytest.fixture
def viewer(console: "TestClient[web.Request, web.Application]") -> Person:
    """A person who may look."""
    return Person(console, VIEWER)
