"""SQL lives in ``.sql`` files beside its one caller; each query stands under a ``-- name --`` line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

_HEADER = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)


def load_queries(module_file: str, name: str) -> Mapping[str, str]:
    """
    The queries of one ``.sql`` file, by name.

    Args:
        module_file: the caller's ``__file__``; the file ``name`` lies beside it.

    Raises:
        ValueError: a name occurs twice, or a name has no query, or the file has none.
    """
    return MappingProxyType(_parse(Path(module_file).with_name(name).read_text(encoding="utf-8"), name))


def columns(rows: Iterable[Sequence[object]], width: int) -> Sequence[list[object]]:
    """
    Arrays for ``unnest``, one for each column of these rows; empty where it is None throughout.

    PostgreSQL fills up what is shorter with NULL, so such a column costs nothing; one column at least must hold values.

    Args:
        width: how many columns each row has; so many empty arrays where there is no row.
    """
    found = [_filled(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(width)]


def _filled(column: tuple[object, ...]) -> list[object]:
    return [] if column[0] is None and column.count(None) == len(column) else list(column)


def _parse(text: str, name: str) -> dict[str, str]:
    headers = list(_HEADER.finditer(text))
    if not headers:
        raise ValueError(f"{name}: no '-- name --' line")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    queries: dict[str, str] = {}
    for header, end in zip(headers, ends, strict=True):
        verb, query = header.group(1), text[header.end() : end].strip()
        if verb in queries or not query:
            raise ValueError(f"{name}: the query {verb!r} is {'empty' if not query else 'there twice'}")
        queries[verb] = query
    return queries
