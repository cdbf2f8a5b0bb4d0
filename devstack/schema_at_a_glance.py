"""The tables of a database as SQL for a reader: from PostgreSQL's catalog, with the remarks of the migrations."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import asyncpg

from sluice.postgres.sql import load_queries

if TYPE_CHECKING:
    from asyncpg import Record

_QUERIES = load_queries(__file__, "schema_at_a_glance.sql")
_HEAD = """\
-- The tables at a glance: what the migrations make of an empty database. Written by `make schema`; for reading.
-- To set up a database use the migrations: they adopt what is there, and note what they add. The functions, and the
-- trigger of webhook_logs, are in functions.sql.
"""
_STATEMENT = re.compile(
    r"((?:^ +--[^\n]*\n)*)^ +(?:CREATE|ALTER) TABLE (?:IF NOT EXISTS )?(\w+)\b(.*?;[ ]*(?:--[^\n]*)?$)",
    re.MULTILINE | re.DOTALL,
)
_COLUMN = re.compile(r"^\s+(?:ADD COLUMN IF NOT EXISTS )?(\w+) .*?--\s+(.*)$", re.MULTILINE)
_REMARK_AT = 70


async def read_schema(url: str, migrations: str) -> str:
    """The tables, indexes, policies and grants of the first schema of the search_path; remarks as in the migrations."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        found = {name: await connection.fetch(query, timeout=30) for name, query in _QUERIES.items()}
    finally:
        await connection.close(timeout=5)
    roles = [row["line"] for name in ("roles", "schema_grants") for row in found.pop(name)]
    parts = {name: _by_table(rows) for name, rows in found.items()}
    tables = [_table(name, parts, migrations) for name in _order(parts["columns"], migrations)]
    return "\n".join([_HEAD, *roles, "", *tables])


def _by_table(rows: "Iterable[Record]") -> "Mapping[str, Sequence[Record]]":
    tables: dict[str, list[Record]] = {}
    for row in rows:
        tables.setdefault(row["table_name"], []).append(row)
    return tables


def _order(tables: Iterable[str], migrations: str) -> Sequence[str]:
    """As the migrations make them; the user's own table first."""
    made = [match.group(2) for match in _STATEMENT.finditer(migrations)]
    return sorted(tables, key=lambda name: (name != "events", made.index(name) if name in made else len(made), name))


def _table(name: str, parts: "Mapping[str, Mapping[str, Sequence[Record]]]", migrations: str) -> str:
    remarks = _column_remarks(name, migrations)
    lines = [*_columns(parts["columns"][name], remarks), *(row["line"] for row in parts["constraints"].get(name, ()))]
    first = parts["columns"][name][0]
    key = f" PARTITION BY {first['partition_key']}" if first["partition_key"] else ""
    end = f"){key} WITH ({first['options']});" if first["options"] else f"){key};"
    after = [row["line"] for part in ("details", "indexes", "security", "grants") for row in parts[part].get(name, ())]
    return "\n".join([*_table_remark(name, migrations), f"CREATE TABLE {name} (", *_listed(lines), end, *after, ""])


def _columns(rows: "Sequence[Record]", remarks: Mapping[str, str]) -> Iterator[str]:
    width = max(len(row["column_name"]) for row in rows)
    for row in rows:
        line = f"{row['column_name']:<{width}}  {row['definition']}"
        yield f"{line}\0{remarks[row['column_name']]}" if row["column_name"] in remarks else line


def _listed(lines: Sequence[str]) -> Iterator[str]:
    """Lines with the commas between them, before each remark."""
    for number, line in enumerate(lines, 1):
        code, _, remark = line.partition("\0")
        item = f"    {code}{',' if number < len(lines) else ''}"
        yield f"{item:<{_REMARK_AT}}-- {remark}" if remark else item


def _table_remark(name: str, migrations: str) -> Sequence[str]:
    made = (match for match in _STATEMENT.finditer(migrations) if match.group(2) == name)
    remark = next(made, None)
    return [line.strip() for line in remark.group(1).splitlines()] if remark else []


def _column_remarks(name: str, migrations: str) -> Mapping[str, str]:
    bodies = [match.group(3) for match in _STATEMENT.finditer(migrations) if match.group(2) == name]
    return {column: remark for body in bodies for column, remark in _COLUMN.findall(body)}
