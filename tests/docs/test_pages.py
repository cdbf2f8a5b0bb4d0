"""The pages agree with the code."""

import re
from pathlib import Path

import pytest

from devstack import event_types_page, state_machine_page
from devstack.settings_page import PAGE, page
from sluice.postgres.migration_files import core_migrations

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


def test_the_settings_page_is_what_the_settings_say() -> None:
    """`make docs` was run after a setting was added or changed."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page()


def test_the_page_of_types_is_what_the_families_say() -> None:
    """`make docs` was run after a type was added."""
    page = (ROOT / event_types_page.PAGE).read_text(encoding="utf-8")
    assert page == event_types_page.with_types(page)


def test_the_page_of_states_is_what_the_states_say() -> None:
    """`make docs` was run after a state or a transition was changed."""
    assert (ROOT / state_machine_page.PAGE).read_text(encoding="utf-8") == state_machine_page.page()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    """A link from one page to a file of ours finds it."""
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert missing == []


def test_the_readme_names_only_targets_that_make_knows() -> None:
    """Each `make something` of the README is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)`?", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets


def test_the_readme_lists_every_migration_in_order() -> None:
    """A person who applies them with psql misses none."""
    listed = re.findall(r"-f migrations/((?!preflight)\w+\.sql)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert listed == [file.file_name for file in core_migrations()]
