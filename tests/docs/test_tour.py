"""The README's commands, typed word for word on a running stack and on a database of one's own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.docs.commands import POSTGRES_PROGRAMS, ROOT, Block, blocks


def _block(words: str, page: str = "README.md") -> Block:
    (found,) = [block for block in blocks(ROOT / page) if words in block.text]
    return found


async def _type(block: Block, folder: Path, **environment: str) -> str:
    """Run the block in a shell and return its output; the first command that fails ends it."""
    path = f"{POSTGRES_PROGRAMS}:{os.environ['PATH']}"
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash"],
        input=f"set -euo pipefail\n{block.text}",
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _checkout(folder: Path, **links: Path) -> Path:
    """The root of a repository as these commands see it."""
    known: Mapping[str, Path] = {".venv": Path(sys.prefix), "migrations": ROOT / "migrations", **links}
    for name, target in known.items():
        (folder / name).symlink_to(target)
    return folder


@pytest.mark.asyncio(loop_scope="module")
async def test_the_tour(stack: Stack, tmp_path: Path) -> None:
    """Health, one screen, a payment's life, and its rows; then a webhook signed by openssl, twice."""
    folder = _checkout(tmp_path, **{".local": stack.options.folder})
    told = await _type(_block("--scenario refund_partial"), folder)
    assert '"status"' in told
    assert "charge.refunded" in told
    hello = _block("evt_hello_1")
    for duplicate in ("false", "true"):
        assert f'"duplicate":{duplicate}' in (await _type(hello, folder)).replace(" ", "")


async def test_psql_puts_it_on_a_database_and_takes_it_out_again(empty_database_url: str, tmp_path: Path) -> None:
    """Each file, in the README's order, twice; then what operations.md says of going back."""
    folder = _checkout(tmp_path)
    for _ in range(2):
        await _type(_block("migrations/preflight.sql"), folder, DATABASE_URL=empty_database_url)
    await _type(_block("pg_dump", "docs/operations.md"), folder, DATABASE_URL=empty_database_url)
    assert "CREATE TABLE" in (folder / "sluice.sql").read_text()


def test_make_help_lists_each_target_of_the_pages() -> None:
    """By itself, with nothing installed."""
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"make {target} " in done.stdout for target in ("run", "test", "image", "chart", "bench"))
