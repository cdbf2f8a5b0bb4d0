"""The glossary defines each word once, and each file that it and the table of architecture.md name exists."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILE = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+\.(?:py|sql))?)`")


def test_each_word_has_one_meaning() -> None:
    """A second line for a word would be a second meaning."""
    words = re.findall(r"^\| ([^|]+) \|", GLOSSARY, flags=re.MULTILINE)
    terms = Counter(term.strip() for word in words for term in word.split(",") if term.strip() != "word")
    assert not [term for term, count in terms.items() if count > 1]


@pytest.mark.parametrize("page", [GLOSSARY, ARCHITECTURE], ids=["glossary", "architecture"])
def test_every_file_that_is_named_exists(page: str) -> None:
    """A move takes its name along."""
    assert [name for name in FILE.findall(page) if not (ROOT / name).exists()] == []


def test_every_table_has_its_writers_in_the_diagram() -> None:
    """A new table says who writes it."""
    schema = (ROOT / "sluice" / "migrations" / "schema.sql").read_text(encoding="utf-8")
    drawn = ARCHITECTURE.split("## The tables, and who writes them")[1].split("```")[1]
    tables = re.findall(r"^CREATE TABLE (\w+)", schema, flags=re.MULTILINE)
    assert tables
    assert [table for table in tables if not re.search(rf"\b{table}\b", drawn)] == []
