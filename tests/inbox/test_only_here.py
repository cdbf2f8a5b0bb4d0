"""``sluice/inbox`` is the only place that writes ``webhook_logs``."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.inbox.states import RETENTION, TRANSITIONS
from sluice.postgres.migration_files import CORE_FOLDER

ROOT = Path(__file__).parents[2]
WRITE = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|COPY)\s+(?:ONLY\s+)?(?:public\.)?webhook_logs\b",
    re.IGNORECASE,
)
EXEMPT = (
    "tests",  # they make rows of every kind
    "bench",  # fills the log with a million rows and measures
    "sluice/inbox",
    "sluice/migrations",  # see the test of its functions
    "migrations",  # the same files
)


def test_nothing_else_writes_the_log() -> None:
    """No statement in Python, SQL or a page for operators goes around the inbox."""
    assert [str(path.relative_to(ROOT)) for path in _ours() if WRITE.search(path.read_text(encoding="utf-8"))] == []


def test_each_function_that_writes_the_log_belongs_to_a_transition() -> None:
    """The SQL functions of the schema are named where the states are; or it is of retention, and changes no state."""
    files = (CORE_FOLDER / "functions").glob("sluice_*.sql")
    writing = {path.stem for path in files if WRITE.search(path.read_text(encoding="utf-8"))}
    named = {transition.function for transition in TRANSITIONS if transition.function is not None}
    assert writing == named | RETENTION


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE webhook_logs AS w\nSET processed = true",
        "insert into webhook_logs (stripe_event_id) VALUES ('evt_1')",
        "DELETE FROM\n    public.webhook_logs",
    ],
)
def test_a_write_is_seen_however_it_is_written(text: str) -> None:
    """Case, line breaks and the schema's name do not hide it."""
    assert WRITE.search(text)


def test_a_lock_is_no_write() -> None:
    """Looking at rows, and locking them, is free to all."""
    assert not WRITE.search("SELECT id FROM webhook_logs FOR UPDATE SKIP LOCKED")


def _ours() -> Iterator[Path]:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for folder in folders:
        for suffix in ("py", "sql", "md", "yaml"):
            for path in folder.rglob(f"*.{suffix}"):
                if not path.relative_to(ROOT).as_posix().startswith(EXEMPT):
                    yield path
