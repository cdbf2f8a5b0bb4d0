from pathlib import Path

import pytest

from sluice.postgres.sql import columns, load_queries


def _file(folder: Path, text: str) -> str:
    (folder / "journal.sql").write_text(text, encoding="utf-8")
    return str(folder / "journal.py")


def test_each_query_is_found_by_the_name_above_it(tmp_path: Path) -> None:
    """The text between two headers is the query, with the comments that explain it."""
    module = _file(tmp_path, "-- record --\n-- $1 id\nSELECT 1;\n\n-- due_now --\nSELECT 2;\n")
    assert load_queries(module, "journal.sql") == {"record": "-- $1 id\nSELECT 1;", "due_now": "SELECT 2;"}


@pytest.mark.parametrize(
    "text", ["SELECT 1;", "-- a --\nSELECT 1;\n-- a --\nSELECT 2;", "-- a --\n\n-- b --\nSELECT 1;"]
)
def test_a_file_that_says_less_than_it_seems_is_refused(tmp_path: Path, text: str) -> None:
    """No header, the same header twice, or a header without a query is a mistake of ours."""
    with pytest.raises(ValueError, match=r"journal\.sql"):
        load_queries(_file(tmp_path, text), "journal.sql")


def test_rows_become_arrays_of_their_columns() -> None:
    """In their order, whatever brings them."""
    assert columns(iter([(1, "a"), (2, "b")]), 2) == [[1, 2], ["a", "b"]]


def test_no_rows_are_as_many_empty_arrays_as_a_row_has_columns() -> None:
    """``unnest`` takes each of them."""
    assert columns([], 3) == [[], [], []]


def test_a_column_that_is_none_throughout_is_empty() -> None:
    """PostgreSQL fills it up; nobody encodes it."""
    assert columns([(1, None, None), (2, None, "b")], 3) == [[1, 2], [], [None, "b"]]


def test_rows_of_different_widths_are_refused() -> None:
    """Else a value would stand in another row."""
    with pytest.raises(ValueError, match="shorter"):
        columns([(1, "a"), (2,)], 2)
