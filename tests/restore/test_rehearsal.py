"""A restore to the moment before a mistake loses what came since; Stripe's list brings it back."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.stack import Stack
from tests.restore.backup import Backup
from tests.restore.history import ids, of_organisers
from tests.restore.rehearsal import LOSSES, Loss, archived_stack, rehearse

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240), pytest.mark.long]

MISTAKES = [loss for loss in LOSSES if loss.statement]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def archived() -> AsyncIterator[tuple[Stack, Backup]]:
    """The whole system, on a PostgreSQL that archives its WAL."""
    async with archived_stack() as running:
        yield running


@pytest.mark.parametrize("loss", MISTAKES, ids=lambda loss: loss.name)
async def test_after_a_restore_nothing_is_missing_that_stripe_still_has(
    archived: tuple[Stack, Backup], loss: Loss
) -> None:
    """Every payment is as if nothing had happened, each effect is there once, and an organiser's webhooks are named."""
    rehearsal = await rehearse(*archived, loss)
    history, restored = rehearsal.history, rehearsal.restored
    theirs = ids(of_organisers([*history.after, *history.unsent]))
    assert restored.lost == ids([*history.after, *history.unsent])
    assert restored.wrong
    assert not restored.unprocessed
    assert not restored.twice
    assert rehearsal.watermark_is_of_then
    assert (rehearsal.named > 0) is loss.keeps_stream
    assert rehearsal.reconciled.lost == theirs
    assert rehearsal.is_well
