"""The simulated day of ``make run`` is a courtesy: what goes wrong in it ends nothing."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import asyncpg
import pytest
from rich.console import Console

from devstack import __main__ as run
from devstack.screen import Screen
from devstack.signature_hint import SignatureHint

if TYPE_CHECKING:
    from devstack.stack import Stack


async def test_a_postgresql_that_dies_in_the_demonstration_leaves_the_stack_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told in a sentence, and the stack goes on."""

    async def die(*_: object, **__: object) -> None:
        raise asyncpg.InternalClientError("got result for unknown protocol state 3")

    console = Console(record=True, width=200)
    stack = SimpleNamespace(
        hint=SignatureHint(lambda _: None),
        database_url="",
        gateway_url="",
        webhook_secret="whsec_x",
        troubles=lambda: None,
    )
    monkeypatch.setattr(run, "run_demo", die)
    await run._demonstrate(cast("Stack", stack), Screen(console))
    assert "PostgreSQL went away (InternalClientError)" in console.export_text()
