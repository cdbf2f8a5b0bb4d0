"""The one table of SQLSTATEs."""

import socket
import ssl

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.failures import DatabaseUnavailable
from sluice.postgres.errors import TransactionPooler, cause_of, is_failover, is_transient, is_unavailable
from sluice.postgres.sqlstate import AWAY, FAILOVER, TRANSIENT, Cause, cause_of_code

CODES = [
    ("08006", Cause.CONNECTION_LOST),
    ("22003", Cause.ROW_REFUSED),
    ("23505", Cause.ROW_REFUSED),
    ("25001", Cause.TRANSACTION_STATE),
    ("25006", Cause.READ_ONLY),
    ("25P02", Cause.TRANSACTION_ABORTED),
    ("26000", Cause.SESSION_CHANGED),
    ("28P01", Cause.LOGIN_REFUSED),
    ("3D000", Cause.DATABASE_UNKNOWN),
    ("40P01", Cause.COLLISION),
    ("42501", Cause.RIGHT_MISSING),
    ("42601", Cause.OTHER),
    ("42703", Cause.SCHEMA_OLDER),
    ("42883", Cause.SCHEMA_OLDER),
    ("42P01", Cause.TABLE_MISSING),
    ("53100", Cause.RESOURCES_EXHAUSTED),
    ("53300", Cause.TOO_MANY_CONNECTIONS),
    ("54000", Cause.ROW_REFUSED),
    ("55P03", Cause.LOCK_NOT_AVAILABLE),
    ("57014", Cause.CANCELED),
    ("57P01", Cause.SHUT_DOWN_BY_ORDER),
    ("57P02", Cause.CRASHED),
    ("57P03", Cause.STARTING_OR_STOPPING),
    ("57P05", Cause.OPERATOR_INTERVENED),
    ("58030", Cause.SYSTEM_ERROR),
    ("P0001", Cause.ROW_REFUSED),
    ("XX001", Cause.DATA_CORRUPTED),
]
ON_THE_WAY = [
    (socket.gaierror(-2, "unknown"), Cause.HOST_UNKNOWN),
    (ssl.SSLCertVerificationError("refused"), Cause.TLS_FAILED),
    (ConnectionRefusedError(), Cause.CONNECTION_REFUSED),
    (ConnectionResetError(), Cause.CONNECTION_LOST),
    (TimeoutError(), Cause.NO_ANSWER),
    (asyncpg.InterfaceError("connection is closed"), Cause.CONNECTION_LOST),
    (asyncpg.InternalClientError("protocol"), Cause.CONNECTION_LOST),
    (ValueError("cannot be encoded"), Cause.ROW_REFUSED),
    (DatabaseUnavailable(), Cause.UNAVAILABLE),
    (TransactionPooler(), Cause.TRANSACTION_POOLER),
    (asyncpg.InvalidSQLStatementNameError('"__asyncpg_stmt_1__" does not exist'), Cause.TRANSACTION_POOLER),
    (asyncpg.InvalidSQLStatementNameError('"mine" does not exist'), Cause.SESSION_CHANGED),
    (KeyError("ours"), Cause.OTHER),
]


@pytest.mark.parametrize(("code", "cause"), CODES)
def test_a_sqlstate_has_one_cause(code: str, cause: Cause) -> None:
    """By its code, else by its class."""
    assert cause_of_code(code) is cause


def test_every_cause_is_told_by_an_error() -> None:
    """No row of the table is dead."""
    assert {cause for _, cause in CODES} | {cause for _, cause in ON_THE_WAY} == set(Cause)


@pytest.mark.parametrize(("error", "cause"), ON_THE_WAY, ids=lambda value: getattr(value, "name", type(value).__name__))
def test_an_error_without_a_sqlstate_has_a_cause(error: Exception, cause: Cause) -> None:
    """Told by its kind."""
    assert cause_of(error) is cause


@given(code=st.text(max_size=6))
def test_any_code_has_a_cause(code: str) -> None:
    """A server of a later version may have codes of its own."""
    assert cause_of_code(code) in Cause


def test_what_is_away_or_fails_over_may_pass_by_itself() -> None:
    """Each verdict of PostgreSQL's absence is a transient one."""
    assert AWAY < TRANSIENT
    assert FAILOVER < TRANSIENT


def test_verdicts_come_from_the_cause() -> None:
    """A standby is there, takes no writes, and is left for the next server."""
    standby = asyncpg.ReadOnlySQLTransactionError("25006")
    assert (is_transient(standby), is_unavailable(standby), is_failover(standby)) == (True, False, True)
