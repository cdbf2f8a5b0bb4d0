"""A row is named by its key as people write it."""

import pytest

from tests.payments.harness import Harness
from tests.payments.history import PI, intent, names, session
from tests.payments.strategies import HARBOUR

SPELLINGS = [
    HARBOUR.upper(),
    HARBOUR.replace("-", ""),
    HARBOUR.replace("-", "").upper(),
    f"{{{HARBOUR}}}",
    f"  {HARBOUR}\n",
    f"\t{{{HARBOUR.upper()}}} ",
]


@pytest.mark.parametrize("written", SPELLINGS)
async def test_metadata_name_a_row_in_any_spelling_of_its_key(harness: Harness, written: str) -> None:
    """The ledger keeps the key as PostgreSQL writes it."""
    await harness.apply(intent("succeeded", metadata=names(written)))
    assert await harness.bound(PI) == (HARBOUR, "metadata")
    assert await harness.shown() == ("paid", PI)


@pytest.mark.parametrize("written", SPELLINGS)
async def test_a_reference_names_a_row_in_any_spelling_of_its_key(harness: Harness, written: str) -> None:
    """Even where the metadata say nothing but white space."""
    await harness.apply(session("completed", metadata=names("  "), client_reference_id=written))
    assert await harness.bound(PI) == (HARBOUR, "reference")
