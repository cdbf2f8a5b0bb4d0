"""The commands of docs/disaster-recovery.md for plain PostgreSQL, typed word for word."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from devstack.postgres import PostgresServer, end_leftovers
from tests.devstack.folders import reachable_folder
from tests.docs.commands import ROOT, blocks
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
PAGE = ROOT / "docs" / "disaster-recovery.md"
EXAMPLES = {"moment": "2026-11-30 14:05:00+00", "segment": "000000010000000000000007"}


@dataclass(frozen=True)
class Machine:
    """A shell of PostgreSQL's own user, beside a server that no supervisor restarts."""

    server: PostgresServer
    folder: Path

    def type(self, wanted: str, **replaced: str) -> str:
        """
        Type the block of the page that holds these words, and give what it says.

        Args:
            replaced: what the page has as an example, by the name that it has there in ``EXAMPLES``.
        """
        (block,) = [block for block in blocks(PAGE) if wanted in block.text]
        text = block.text.replace("/backup", str(self.folder))
        for name, value in replaced.items():
            assert EXAMPLES[name] in text
            text = text.replace(EXAMPLES[name], value)
        said = self.folder / "said"  # a file: the server that pg_ctl starts would keep a pipe open
        identity = self.server.home.identity
        with said.open("wb") as output:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60,
                cwd=self.folder,
                env=self._environment(),
                user=identity.uid if identity else None,
                group=identity.gid if identity else None,
                extra_groups=[] if identity else None,
            )
        told = said.read_text(encoding="utf-8")
        assert done.returncode == 0, told
        return told

    async def ask(self, query: str) -> str:
        """The one value of a query, as text."""
        connection = await asyncpg.connect(self.server.url(), timeout=30)
        try:
            return str(await connection.fetchval(query))
        finally:
            await connection.close()

    def _environment(self) -> Mapping[str, str]:
        home = self.server.home
        return {
            "PATH": f"{home.programs / 'bin'}:{os.defpath}",
            "PGDATA": str(home.data),
            "DATABASE_URL": self.server.url(),
            "LC_ALL": "C",
        }


@pytest_asyncio.fixture
async def machine() -> AsyncIterator[Machine]:
    """A server that keeps its address when it is started without a word, and an empty folder for backups."""
    with reachable_folder() as folder:
        server = await PostgresServer.start(folder / "postgres")
        backup = server.home.data.with_name("backup")
        (backup / "archive").mkdir(parents=True)
        if (identity := server.home.identity) is not None:
            for path in (backup, backup / "archive", server.home.data.parent):
                os.chown(path, identity.uid, identity.gid)
        try:
            made = Machine(server, backup)
            for setting in (f"port = {server.port}", f"unix_socket_directories = '{backup}'"):
                await made.ask(f"ALTER SYSTEM SET {setting}")
            yield made
        finally:
            await server.stop()
            await end_leftovers(server.home.data)


async def test_the_commands_restore_to_the_moment_before_a_drop(machine: Machine) -> None:
    """Archive, base backup, the place of the mistake, a restore: as a person copies them."""
    await machine.ask("CREATE TABLE kept (n int)")
    machine.server.is_wanted = False
    await asyncio.to_thread(machine.type, "pg_basebackup")
    await machine.ask("INSERT INTO kept VALUES (1)")
    moment = await machine.ask("SELECT clock_timestamp()")
    await machine.ask("DROP TABLE kept")
    segment = await machine.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
    told = await asyncio.to_thread(machine.type, "pg_waldump", segment=segment)
    assert "rels:" in told
    await asyncio.to_thread(machine.type, "recovery.signal", moment=moment)
    await until(lambda: _is_primary(machine), what="the target is reached")
    assert await machine.ask("SELECT count(*) FROM kept") == "1"


async def _is_primary(machine: Machine) -> bool:
    return await machine.ask("SELECT pg_is_in_recovery()") == "False"
