"""Summaries of failures: enough to find each, and no value of a payment."""

import os

import asyncpg
import pytest

from processor.failures.error_summary import LONGEST, describe
from tests.processor.failures.test_classify import failed


def test_a_described_failure_quotes_no_value() -> None:
    """Neither an exception's message nor PostgreSQL's text may carry a person's data into last_error."""
    secret = "jane@example.org"
    for cause in (ValueError(secret), asyncpg.InvalidTextRepresentationError(f'invalid input: "{secret}"')):
        assert secret not in describe(failed(cause))


def test_a_described_failure_says_where_and_what() -> None:
    """Class, SQLSTATE, handler and place are enough to find the bug."""
    with pytest.raises(KeyError) as raised:
        os.environ["NO_SUCH_NAME_HERE"]
    text = describe(failed(raised.value))
    assert "KeyError in handler harness.grant at" in text
    assert "42P01" in describe(failed(asyncpg.UndefinedTableError('relation "points" does not exist')))
    assert '"points"' in describe(failed(asyncpg.UndefinedTableError('relation "points" does not exist')))


def test_a_described_failure_is_short_and_printable() -> None:
    """Text for a person in psql has no control characters and at most 500 characters."""
    text = describe(failed(asyncpg.UndefinedTableError("x\x00\n" * 1000)))
    assert len(text) <= LONGEST
    assert text.isprintable()
