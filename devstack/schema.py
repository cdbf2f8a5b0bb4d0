"""Brings a database to this version's schema."""

from collections.abc import Sequence

from devstack.problems import StackProblem
from sluice.failures import Failure
from sluice.postgres.migrator import migrate


async def apply_migrations(dsn: str) -> Sequence[str]:
    """Apply what is missing, as ``sluice migrate`` does; the names of what was applied. Raises StackProblem."""
    try:
        return [applied.name for applied in await migrate(dsn)]
    except Failure as failure:
        raise StackProblem(f"The migrations cannot be applied. {failure}") from failure
