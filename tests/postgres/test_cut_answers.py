"""PostgreSQL is killed in the middle of an answer, at each byte of it: every caller survives."""

import socket
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from devstack.tally import Tally
from sluice.failures import DatabaseUnavailable
from sluice.postgres.errors import DATABASE_ERRORS, is_transient, is_unavailable
from sluice.postgres.migrator import pending
from sluice.postgres.pool import Database
from sluice.postgres.session_connection import connection_to
from tests.cutting import LAST_WORD, Cutter

LAST_WORDS = pytest.mark.parametrize("last_word", [b"", LAST_WORD], ids=["silent", "with its last word"])
LONGEST = 6_000


async def _at_each_byte(cutter: Cutter, ask: Callable[[], Awaitable[bool]], *, step: int = 1) -> None:
    """Let the server die a byte later each time, until a whole answer comes through."""
    for cutter.left in range(0, LONGEST, step):
        if await ask():
            assert cutter.left is not None
            return
    raise AssertionError("no answer was whole")


@LAST_WORDS
async def test_the_status_line_survives_a_death_at_any_byte_of_an_answer(database_url: str, last_word: bytes) -> None:
    """It shows no numbers then, and the stack goes on."""
    cutter = Cutter(database_url, last_word=last_word)

    async def ask() -> bool:
        left, cutter.left = cutter.left, None
        async with Tally(address) as tally:
            assert await tally.progress() is not None
            cutter.left = left
            return await tally.progress() is not None

    async with cutter.open() as address:
        await _at_each_byte(cutter, ask)


@LAST_WORDS
async def test_a_login_and_a_migrators_question_survive_it_too(database_url: str, last_word: bytes) -> None:
    """From the login's first byte to the answer's last there is one way to fail: it may be tried again."""
    cutter = Cutter(database_url, last_word=last_word)

    async def ask() -> bool:
        try:
            assert await pending(address) == []
        except DatabaseUnavailable:
            return False
        return True

    async with cutter.open() as address:
        await _at_each_byte(cutter, ask, step=7)  # a login each, which takes its time


@LAST_WORDS
async def test_a_pools_question_fails_as_unavailable(database_url: str, last_word: bytes) -> None:
    """``fetch`` raises what its callers know, at whichever byte the server dies."""
    cutter = Cutter(database_url, last_word=last_word)

    async def ask() -> bool:
        left, cutter.left = cutter.left, None
        await database.fetch("SELECT 1")
        cutter.left = left
        try:
            rows = await database.fetch("SELECT n, repeat('x', 5) AS text FROM generate_series(1, 3) AS n")
        except DatabaseUnavailable:
            return False
        assert [row["n"] for row in rows] == [1, 2, 3]
        return True

    async with (
        cutter.open() as address,
        Database.connect(address, application_name="test", min_size=0, max_size=1) as database,
    ):
        await _at_each_byte(cutter, ask)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.ProtocolError("unexpected message"),
        asyncpg.ProtocolViolationError("invalid frontend message"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.CrashShutdownError("terminating connection because of crash of another server process"),
        ConnectionResetError("Connection reset by peer"),
        TimeoutError(),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_error_of_a_lost_answer_is_one_of_the_list(
    error: Exception, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that catches by that list catches it; the work may be tried again; the status line shows no numbers."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    assert isinstance(error, DATABASE_ERRORS)
    assert is_transient(error)
    assert is_unavailable(error)
    monkeypatch.setattr(asyncpg.Connection, "fetchrow", fail)
    async with Tally(database_url) as tally:
        assert await tally.progress() is None


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("postgresql://nobody@db.invalid:5432/x", "The name of PostgreSQL's host is not found"),
        ("postgresql://nobody@127.0.0.1:1/x", "PostgreSQL does not answer"),
    ],
)
async def test_a_name_that_is_not_found_is_told_as_such(dsn: str, told: str) -> None:
    """A wrong password is not blamed when the resolver is at fault."""
    with pytest.raises(DatabaseUnavailable, match=told):
        async with connection_to(dsn):
            pass


async def test_a_password_that_is_refused_is_told_as_such(database_url: str) -> None:
    """PostgreSQL answered, and lets us not in."""
    dsn = database_url.rsplit("/", 1)[0] + "/no_such_database"
    with pytest.raises(DatabaseUnavailable, match="lets us not in"):
        async with connection_to(dsn):
            pass
