"""A real PgBouncer before a PostgreSQL of the tests."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from devstack.child import Child, Command, Identity
from devstack.ports import free_port
from tests.programs import program
from tests.waiting import listens, until

Mode = Literal["session", "transaction"]
_NOBODY = 65534  # PgBouncer refuses to run as root
_CONFIGURATION = """\
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
default_pool_size = {sessions}
"""


@asynccontextmanager
async def pgbouncer(url: str, mode: Mode, *, sessions: int = 6) -> AsyncIterator[str]:
    """The address of that database through PgBouncer, with Debian's own settings but these."""
    path = program("pgbouncer", "pgbouncer")
    parts = urlsplit(url)
    with tempfile.TemporaryDirectory(prefix="sluice-pgbouncer-") as name:
        folder = Path(name)
        users, configuration, listen = folder / "users.txt", folder / "pgbouncer.ini", free_port()
        users.write_text(f'"{parts.username}" "{parts.password}"\n')
        configuration.write_text(
            _CONFIGURATION.format(
                host=parts.hostname, port=parts.port, listen=listen, users=users, mode=mode, sessions=sessions
            )
        )
        identity = Identity(_NOBODY, _NOBODY) if os.geteuid() == 0 else None
        if identity is not None:
            for one in (folder, users, configuration):
                os.chown(one, identity.uid, identity.gid)
        command = Command("PgBouncer", [path, str(configuration)], {}, folder / "log", identity=identity)
        child = Child.spawn(command)
        try:
            await until(lambda: listens(listen), what="PgBouncer")
            yield url.replace(f":{parts.port}/", f":{listen}/")
        finally:
            await child.stop()
