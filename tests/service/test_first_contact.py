"""Ready after the first contact, and never unready for want of PostgreSQL afterwards."""

import asyncio
import socket
import ssl

import asyncpg
import pytest

from sluice.failures import DatabaseUnavailable
from sluice.postgres.pool import Database
from sluice.postgres.reasons import reason_of
from sluice.service.first_contact import FirstContact
from tests.waiting import until


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds since some moment."""
        return self.now


async def test_it_is_over_when_the_first_question_is_taken() -> None:
    """Until then the reason is told; it is asked again by itself."""
    answers: list[str | None] = ["it refuses this user or password", "its schema is older"]

    async def ask() -> str | None:
        return answers.pop(0) if answers else None

    contact = FirstContact(ask, limit_seconds=900)
    assert not contact.is_over()
    running = asyncio.create_task(contact.run())
    await until(lambda: contact.reason() == "PostgreSQL: it refuses this user or password")
    assert contact.status() == {"reached": False, "problem": "PostgreSQL: it refuses this user or password"}
    await asyncio.wait_for(running, 20)
    assert contact.is_over()
    assert contact.status() == {"reached": True, "problem": None}


async def test_a_long_outage_ends_the_wait() -> None:
    """After the limit it is ready all the same, and still says that PostgreSQL was never reached."""
    clock = Clock()

    async def ask() -> str | None:
        return "nothing listens at its address"

    contact = FirstContact(ask, limit_seconds=900, clock=clock)
    clock.now = 899.9
    assert not contact.is_over()
    clock.now = 900
    assert contact.is_over()
    assert contact.status()["reached"] is False


def caused_by(error: Exception) -> DatabaseUnavailable:
    """As the pool raises it."""
    unavailable = DatabaseUnavailable("no connection")
    unavailable.__cause__ = error
    return unavailable


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "secret.host"), "DNS"),
        (asyncpg.InvalidPasswordError("secret"), "password"),
        (asyncpg.InvalidAuthorizationSpecificationError("secret"), "password"),
        (asyncpg.InvalidCatalogNameError("secret"), "no database"),
        (asyncpg.TooManyConnectionsError("secret"), "no connection left"),
        (asyncpg.CannotConnectNowError("secret"), "starting or stopping"),
        (asyncpg.UndefinedTableError("secret"), "sluice migrate"),
        (asyncpg.InsufficientPrivilegeError("secret"), "right"),
        (asyncpg.ReadOnlySQLTransactionError("secret"), "no writes"),
        (ssl.SSLCertVerificationError("secret"), "TLS"),
        (ConnectionRefusedError(111, "secret"), "nothing listens"),
        (TimeoutError("secret"), "in time"),
        (asyncpg.DataError("secret"), "DataError 22000"),
        (OSError("secret"), "OSError"),
    ],
)
def test_reasons_are_fixed_words(error: Exception, words: str) -> None:
    """By what caused it, too; never the text, which may hold an address."""
    for told in (reason_of(error), reason_of(caused_by(error))):
        assert words in told
        assert "secret" not in told


def test_an_error_that_is_its_own_cause_has_a_reason() -> None:
    """``raise error from error`` makes one."""
    error = DatabaseUnavailable("no connection")
    error.__cause__ = error
    assert reason_of(error) == "DatabaseUnavailable"


async def test_a_pool_says_why_it_gets_no_connection_and_forgets_it_when_it_does(empty_database_url: str) -> None:
    """It looks by itself, without a caller that asks for a connection. That ours are all taken is no such reason."""
    wrong = empty_database_url.replace("postgres:", "nobody:", 1)
    async with Database.connect(wrong, application_name="test", min_size=1) as database:
        await until(lambda: database.problem == "it refuses this user or password")
    async with Database.connect(empty_database_url, application_name="test", max_size=1) as database:
        async with database.acquire():
            with pytest.raises(DatabaseUnavailable):
                async with database.acquire(within_seconds=0.05):
                    pass
        assert database.reach() == {"problem": None, "timeouts": 1}
