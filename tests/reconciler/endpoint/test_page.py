"""docs/doctor.md names every finding, and none that is gone."""

import re
from pathlib import Path

from reconciler.endpoint.findings import Name

PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_the_page_lists_each_finding_once() -> None:
    """A new one gets its line."""
    table = PAGE.split("| finding | weight | meaning |")[1].split("\n\n")[0]
    listed = [
        name for line in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    assert sorted(listed) == sorted(Name)
