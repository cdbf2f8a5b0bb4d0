"""A failure in words that hold no value of any payment: for ``last_error``, which people read."""

import traceback
from pathlib import PurePath

from processor.failures.classify import HandlerFailed, LostOutsideHandlers
from sluice.failures import Failure
from sluice.postgres.sqlstate import Cause, cause_of_code, sqlstate

LONGEST = 500
_TELLING = ("constraint_name", "schema_name", "table_name", "column_name")
_NAMES_ONLY = "42"  # messages of this class name tables, columns and functions, never values


def describe(error: BaseException) -> str:
    """
    Describe an error in at most 500 characters: class, SQLSTATE, names of tables and constraints, place in the code.

    The message of a foreign exception is left out: it may quote the event.
    """
    if isinstance(error, HandlerFailed) and error.__cause__ is not None:
        return _cut(f"{_essence(error.__cause__)} in handler {error.handler}{_place(error.__cause__)}")
    if isinstance(error, LostOutsideHandlers) and error.__cause__ is not None:
        return describe(error.__cause__)
    return _cut(f"{_essence(error)}{_place(error)}")


def _essence(error: BaseException) -> str:
    name = type(error).__name__
    code = sqlstate(error)
    if code is not None:
        return f"{name} {code}{_sql_details(error, code)}"
    if isinstance(error, TimeoutError):
        return f"{name}: the time budget was used up"
    return f"{name}: {error}" if isinstance(error, Failure) else name


def _sql_details(error: BaseException, code: str) -> str:
    if cause_of_code(code) is Cause.TRANSACTION_ABORTED:
        return ": it went on after an SQL error that it swallowed"
    if code.startswith(_NAMES_ONLY):
        return f": {error.args[0]}" if error.args else ""
    names = {name: getattr(error, name, None) for name in _TELLING}
    details = ", ".join(f"{name.removesuffix('_name')} {value}" for name, value in names.items() if value)
    return f" ({details})" if details else ""


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if not _is_library(frame.filename)]
    if not ours:
        return ""
    return f" at {PurePath(ours[-1].filename).name}:{ours[-1].lineno} in {ours[-1].name}"


def _is_library(filename: str) -> bool:
    parts = PurePath(filename).parts
    return filename.startswith("<") or "asyncpg" in parts or "asyncio" in parts


def _cut(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:LONGEST]
