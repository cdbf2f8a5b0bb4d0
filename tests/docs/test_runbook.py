"""The runbook is for people who have ``sluice`` and an operator's login, and nothing to paste into ``psql``."""

import re

import pytest

from tests.docs.commands import ROOT

TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
SECTIONS = {part.splitlines()[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
_STATEMENT = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE \w|DELETE FROM|GRANT|REVOKE|TRUNCATE)\b")
_VERB = re.compile(
    r"\bsluice (?:status|sessions|ls|show|watch|export|why|retry|replay|write-off|resolve|pause|resume|operations"
    r"|doctor|reconcile|migrate|maintain)\b"
)


def test_no_statement_is_to_be_pasted() -> None:
    """A row that is changed by hand has no record of it."""
    assert _STATEMENT.findall(TEXT) == []
    assert "psql" not in TEXT.replace("`psql`", "")
    assert "```sql" not in TEXT


@pytest.mark.parametrize("title", SECTIONS)
def test_each_section_names_a_verb(title: str) -> None:
    """So that nobody has to look for the way to see it."""
    assert _VERB.search(SECTIONS[title])
