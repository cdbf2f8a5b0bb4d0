"""Which SQL a handler may not say."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.transaction_control import TransactionControl, refuse_transaction_control

REFUSED = [
    "COMMIT",
    "commit;",
    "BEGIN; INSERT INTO a VALUES (1); COMMIT;",
    "INSERT INTO a VALUES (1); COMMIT; INSERT INTO a VALUES (2)",
    "INSERT INTO a VALUES (1);\n-- done\nCOMMIT;",
    "/* a /* nested */ one */ ROLLBACK",
    "SELECT ';' ; END",
    "SELECT E'it\\'s' ; ABORT",
    "SELECT 'it''s'; ABORT WORK",
    "SELECT $$;$$; START TRANSACTION",
    "SELECT $a$ $$ $a$; start  transaction isolation level serializable",
    "SELECT 'a\\'; COMMIT; --'",
    "SAVEPOINT mine",
    "RELEASE SAVEPOINT mine",
    "ROLLBACK TO SAVEPOINT mine",
    "COMMIT AND CHAIN",
    "PREPARE TRANSACTION 'x'",
    "PREPARE x AS SELECT 1",
    "COMMIT PREPARED 'x'",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET LOCAL TRANSACTION READ ONLY",
    "SET LOCAL transaction_isolation = 'serializable'",
    'SET LOCAL "transaction_read_only" = on',
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET search_path = elsewhere",
    "SET SESSION statement_timeout = 0",
    "SET ROLE other",
    "SET LOCAL SESSION AUTHORIZATION other",
    "SET LOCAL standard_conforming_strings = off",
    "RESET ALL",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "LISTEN news",
    "UNLISTEN *",
    ";;COMMIT",
    "\ufeff;COMMIT",
    "SELECT 1;\tCOMMIT\f",
    "--\rCOMMIT",
]
HARMLESS = [
    "SELECT 'COMMIT'",
    "SELECT 1 -- ; COMMIT",
    "SELECT 1 /* ; COMMIT /* ; */ ; ROLLBACK */",
    "SELECT '; COMMIT; ', E'\\'; COMMIT; ', $$; COMMIT;$$, $x$; COMMIT; $y$ $x$",
    'SELECT 1 AS "; COMMIT; "',
    "UPDATE a SET b = CASE WHEN c THEN 1 END",
    "DO $$ BEGIN PERFORM 1; END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END $f$; SELECT f()",
    "SET LOCAL statement_timeout = '1s'; SELECT 1",
    "SET CONSTRAINTS ALL DEFERRED",
    "NOTIFY news",
    "SELECT 1; UPDATE a SET commit = 1; SELECT begin FROM a",
    "CALL tidy()",
    "INSERT INTO a VALUES ($1); SELECT a$b$c FROM d; SELECT 1",
    "",
    ";",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_takes_the_transaction_away_is_refused(sql: str) -> None:
    """Wherever in a script it stands, and whatever stands before it."""
    with pytest.raises(TransactionControl, match="A handler may not say"):
        refuse_transaction_control(sql)


@pytest.mark.parametrize("sql", HARMLESS)
def test_the_same_words_elsewhere_are_harmless(sql: str) -> None:
    """In strings, comments, names, bodies of functions, and as part of other statements."""
    refuse_transaction_control(sql)


@pytest.mark.parametrize("prefix", [sql for sql in HARMLESS if not sql.endswith("COMMIT")])
@pytest.mark.parametrize("control", ["COMMIT", "rollback", "/**/ End", "-- x\n begin"])
def test_after_any_harmless_statement_it_is_still_seen(prefix: str, control: str) -> None:
    """Skipped text ends where PostgreSQL says that it ends."""
    with pytest.raises(TransactionControl):
        refuse_transaction_control(f"{prefix}\n;{control}")


@given(st.text("'\"$abE;/*-\\ \n") | st.text())
def test_any_text_has_an_answer(sql: str) -> None:
    """Whatever it is, it is refused or not, and a COMMIT alone after it in a text that ends well is no exception."""
    try:
        refuse_transaction_control(f"{sql} COMMIT")
    except TransactionControl as refused:
        assert refused.code == "transaction_control"  # noqa: PT017 - either is right


def test_a_long_script_is_read_in_good_time() -> None:
    """Reading holds the event loop, so it must be linear."""
    script = "INSERT INTO a VALUES ('it''s', 1); UPDATE a SET b = /* c */ 2;\n" * 3_000
    began = time.process_time()
    refuse_transaction_control(script)
    assert time.process_time() - began < 3
