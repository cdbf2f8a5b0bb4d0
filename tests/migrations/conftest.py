"""Databases that Sluice is added to, or was."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from devstack.postgres import PostgresServer
from tests.migrations.databases import KINDS

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

EMPTY = """
    DROP SCHEMA IF EXISTS sluice CASCADE;
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def workbench(postgres_server: PostgresServer) -> str:
    """The address of one database, emptied for each test: that is faster than a new one."""
    async with _server_connection(postgres_server) as server:
        await server.execute("CREATE DATABASE workbench TEMPLATE template0")
    return postgres_server.url("workbench")


@pytest_asyncio.fixture
async def empty_database_url(workbench: str) -> str:
    """The address of a database with nothing in it."""
    connection = await asyncpg.connect(workbench)
    await connection.execute(EMPTY)
    await connection.close()
    return workbench


@pytest_asyncio.fixture
async def db(empty_database_url: str) -> AsyncIterator[Connection]:
    """A superuser's connection to this test's database."""
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(params=list(KINDS))
async def any_url(request: pytest.FixtureRequest, empty_database_url: str, db: Connection) -> str:
    """The address of a database of each kind in turn, before Sluice."""
    await db.execute(KINDS[request.param] or "SELECT")
    return empty_database_url


@pytest_asyncio.fixture
async def earlier_url(empty_database_url: str, db: Connection) -> str:
    """The address of an earlier application's database, before Sluice."""
    await db.execute(KINDS["earlier"])
    return empty_database_url


@pytest_asyncio.fixture
async def supabase_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A database where, as on Supabase, everything new is open to the public roles."""
    async with _server_connection(postgres_server) as server:
        for role in ("anon", "authenticated"):
            await server.execute(f"CREATE ROLE {role} NOLOGIN")
        await server.execute("CREATE DATABASE supabase TEMPLATE template0")
        url = postgres_server.url("supabase")
        connection = await asyncpg.connect(url)
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            await connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO anon, authenticated")
        await connection.close()
        yield url
        await server.execute("DROP DATABASE supabase WITH (FORCE)")
        await server.execute("DROP ROLE anon, authenticated")


@asynccontextmanager
async def _server_connection(server: PostgresServer) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        yield connection
    finally:
        await connection.close()
