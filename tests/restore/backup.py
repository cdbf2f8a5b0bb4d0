"""Back one PostgreSQL up and restore it to a point in time, with the commands of docs/disaster-recovery.md."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import asyncpg

from devstack.postgres import SUPERUSER, PostgresServer
from tests.waiting import until

_PROGRAM_SECONDS = 60.0
LATEST: Mapping[str, str] = MappingProxyType({})
"""No target: everything that reached the archive."""


@dataclass(frozen=True)
class Backup:
    """The base backup and the WAL archive of one server, beside its data."""

    server: PostgresServer

    @property
    def archive(self) -> Path:
        """Where finished segments of WAL go."""
        return self._folder / "archive"

    async def begin(self) -> None:
        """Archive WAL from now on; takes a restart."""
        for folder in (self._folder, self.archive):
            folder.mkdir(mode=0o700)
            self._own(folder)
        await self._execute("ALTER SYSTEM SET archive_mode = on")
        await self._execute(
            f"ALTER SYSTEM SET archive_command = 'test ! -f {self.archive}/%f && cp %p {self.archive}/%f'"
        )
        await self._execute("ALTER SYSTEM SET archive_timeout = '60s'")
        await self.server.restart()

    async def take(self) -> None:
        """Make a base backup, in place of an earlier one."""
        shutil.rmtree(self._base, ignore_errors=True)
        await self._run("pg_basebackup", "-D", str(self._base), "--checkpoint=fast")

    async def archive_all(self) -> None:
        """Let the archive have everything that was written until now."""
        segment = await self._fetch_text("SELECT pg_walfile_name(pg_switch_wal())")

        async def is_archived() -> bool:
            return await self._fetch_text("SELECT last_archived_wal FROM pg_stat_archiver") >= segment

        await until(is_archived, what="the last segment is in the archive")

    async def dropped_in(self) -> str:
        """Find the transaction that last dropped a table, in the archive alone."""
        found: list[str] = []
        for segment in sorted(self.archive.glob("[0-9A-F]" * 24)):
            text = await self._run("pg_waldump", "--rmgr=Transaction", str(segment), may_fail=True)
            found += re.findall(r"tx: +(\d+),.*COMMIT.*; rels:", text)
        return found[-1]

    async def restore(self, target: Mapping[str, str]) -> None:
        """Stop the server, and start it on the base backup and the archive, until the target."""
        await self.server.stop()
        data = self.server.home.data
        shutil.rmtree(data)
        await asyncio.to_thread(shutil.copytree, self._base, data, symlinks=True)
        with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in self._recovery(target).items())
        (data / "recovery.signal").touch()
        for path in (data, *data.rglob("*")):
            self._own(path)
        await self.server.restart()
        await until(self._is_primary, within_seconds=_PROGRAM_SECONDS, what="the target is reached")
        await self._forget(self._recovery(target))

    async def _is_primary(self) -> bool:
        """Until then it answers, and takes no writes."""
        return await self._fetch_text("SELECT pg_is_in_recovery()") == "False"

    def _recovery(self, target: Mapping[str, str]) -> Mapping[str, str]:
        return {"restore_command": f"cp {self.archive}/%f %p", "recovery_target_action": "promote", **target}

    async def _forget(self, names: Mapping[str, str]) -> None:
        for name in names:
            await self._execute(f"ALTER SYSTEM RESET {name}")

    @property
    def _folder(self) -> Path:
        return self.server.home.data.with_name("backup")

    @property
    def _base(self) -> Path:
        return self._folder / "base"

    def _own(self, path: Path) -> None:
        if (identity := self.server.home.identity) is not None:
            os.chown(path, identity.uid, identity.gid, follow_symlinks=False)

    async def _run(self, program: str, *arguments: str, may_fail: bool = False) -> str:
        done = await asyncio.to_thread(self._run_now, [self.server.home.program(program), *arguments])
        assert may_fail or done.returncode == 0, done.stderr
        return done.stdout

    def _run_now(self, argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        identity = self.server.home.identity
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=_PROGRAM_SECONDS,
            cwd="/",
            env={
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.server.port),
                "PGUSER": SUPERUSER,
                "PGPASSWORD": self.server.password(SUPERUSER),
            },
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server.url("postgres"), timeout=30)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _fetch_text(self, query: str) -> str:
        connection = await asyncpg.connect(self.server.url("postgres"), timeout=30)
        try:
            return str(await connection.fetchval(query))
        finally:
            await connection.close()
