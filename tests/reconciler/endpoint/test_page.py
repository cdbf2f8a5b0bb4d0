"""docs/doctor.md names every finding with its weight, and none that is gone."""

import re
from pathlib import Path

from reconciler.endpoint.findings import WEIGHTS

PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text(encoding="utf-8")


def test_the_page_lists_each_finding_with_its_weight() -> None:
    """A new one gets its line."""
    table = PAGE.split("| finding | weight | meaning |")[1].split("\n\n")[0]
    lines = re.findall(r"^\| (`[^|]+) \| (\w+) \|", table, re.MULTILINE)
    assert {name: weight for names, weight in lines for name in re.findall(r"`(\w+)`", names)} == WEIGHTS
