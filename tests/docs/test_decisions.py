"""Each decision has a status and stands in the index."""

import re
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("2*.md"))
STATUS = re.compile(r"Status: ((?:accepted|superseded), (\d{4}-\d\d-\d\d).*)\.")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_decision_begins_with_its_title_and_status(path: Path) -> None:
    """The date is that of the file's name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    status = STATUS.fullmatch(lines[2])
    assert lines[0].startswith("# ")
    assert status is not None
    assert status[2].replace("-", "") == path.stem[:8]


def test_the_index_lists_every_decision_with_its_title_and_status() -> None:
    """In the order of their dates, each once."""
    index = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in index if re.match(r"\| \d", line)] == [_line(path) for path in PAGES]


def _line(path: Path) -> str:
    title, _, status = path.read_text(encoding="utf-8").splitlines()[:3]
    word, date, more = re.fullmatch(r"Status: (\w+), ([\d-]+)(.*)\.", status).groups()  # type: ignore[union-attr]
    return f"| {date} | [{title.removeprefix('# ')}]({path.name}) | {word}{more} |"
