"""The login roles that the services connect as: each in its group role, with a generated password."""

from typing import Protocol

import asyncpg

from devstack.postgres import LOGIN_ROLES

_GROUPS = {"console": "sluice_operator"}
"""Groups that go by another name than their login."""


class Passwords(Protocol):
    """Knows the password of each login role; a PostgresServer does."""

    def password(self, user: str) -> str:
        """The password of one role."""
        ...


async def make_login_roles(dsn: str, passwords: Passwords) -> None:
    """Make or repair the logins of services and of a person, as members of the group roles. Safe to repeat."""
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        existing = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles", timeout=10)}
        for role in LOGIN_ROLES:
            verb = "ALTER" if role in existing else "CREATE"
            await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{passwords.password(role)}'", timeout=10)
            if (group := _GROUPS.get(role, f"sluice_{role}")) in existing:
                await connection.execute(f"GRANT {group} TO {role}", timeout=10)
    finally:
        await connection.close(timeout=5)
