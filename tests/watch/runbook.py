"""The runbook, as alerts and panels link to it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

PAGE = "docs/runbook.md"
TEXT = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")


@cache
def sections() -> Mapping[str, str]:
    """Its sections, by their anchors."""
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)[1:]
    titles, texts = parts[::2], parts[1::2]
    anchors = [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles]
    return dict(zip(anchors, texts, strict=True))
