"""The demo's rows in the business table ``events``: one for each scenario, found again by name on the next day."""

import secrets
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice.postgres.sql import load_queries
from sluice.simulator.builder import Subject
from sluice.simulator.catalog import SCENARIOS, Account, Scenario
from sluice.simulator.identity import Ids

if TYPE_CHECKING:
    from asyncpg import Connection, Record
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection = Connection[Record] | PoolConnectionProxy[Record]

_QUERIES = load_queries(__file__, "demo.sql")
_NAMESPACE = uuid.UUID("5ad1ce00-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One ``events`` row that a scenario is about."""

    id: str
    """``events.id`` as text, whatever its type."""
    name: str
    expected_status: str
    scenario: str
    webhook_secret: str | None = field(default=None, repr=False)
    """The organiser's own secret, for scenarios of a tenant."""
    stripe_account_id: str | None = None

    @property
    def subject(self) -> Subject:
        """The scenario's purchase; a tenant's account sends no ``account``, for the endpoint is its own."""
        scenario = SCENARIOS[self.scenario]
        account = self.stripe_account_id if scenario.account is Account.CONNECTED else None
        return Subject(self.name, self.id, account)


def demo_name(scenario: Scenario) -> str:
    """The name of a scenario's row, which no application would use; no other row is ever touched."""
    return f"{scenario.title} (Sluice demo)"


def connected_accounts() -> frozenset[str]:
    """The connected accounts of the demo's rows."""
    return frozenset(_account(one) for one in SCENARIOS.values() if one.account is Account.CONNECTED)


def _account(scenario: Scenario) -> str:
    return Ids(scenario.name).make("acct")


async def create_demo_events(
    connection: "AnyConnection", scenarios: Collection[str] = SCENARIOS.keys()
) -> Sequence[DemoEvent]:
    """
    Make, or find again by name, an ``events`` row for each of these scenarios; ids may be uuid, bigint or text.

    Raises:
        asyncpg.PostgresError: the table asks for more than a name, or Sluice's migration has not run.
    """
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_QUERIES["take_turns"])
        key = await connection.fetchrow(_QUERIES["describe_key"])
        if key is None:
            raise LookupError("There is no table events; run `sluice migrate` first.")
        return [
            await _row_of(connection, scenario, key["type"], has_default=key["has_default"])
            for scenario in SCENARIOS.values()
            if scenario.name in scenarios
        ]


async def _row_of(connection: "AnyConnection", scenario: Scenario, key_type: str, *, has_default: bool) -> DemoEvent:
    wanted_account = None if scenario.account is Account.PLATFORM else _account(scenario)
    wanted_secret = f"whsec_{secrets.token_urlsafe(24)}" if scenario.account is Account.TENANT else None
    found = await connection.fetchrow(_QUERIES["find"], demo_name(scenario))
    if found is None:
        columns = (demo_name(scenario), wanted_account, wanted_secret)
        if has_default:
            found = await connection.fetchrow(_QUERIES["create"], *columns)
        else:
            found = await connection.fetchrow(
                _QUERIES["create_with_key"], *columns, await _key(connection, scenario, key_type)
            )
    elif (found["stripe_account_id"], found["webhook_secret"] is None) != (wanted_account, wanted_secret is None):
        found = await connection.fetchrow(_QUERIES["repair"], found["id"], wanted_account, wanted_secret)
    if found is None:
        raise LookupError(f"The events row {demo_name(scenario)!r} vanished while it was made.")
    return DemoEvent(
        id=found["id"],
        name=demo_name(scenario),
        expected_status=scenario.expected_status,
        scenario=scenario.name,
        webhook_secret=found["webhook_secret"],
        stripe_account_id=found["stripe_account_id"],
    )


async def _key(connection: "AnyConnection", scenario: Scenario, key_type: str) -> str:
    if key_type == "uuid":
        return str(uuid.uuid5(_NAMESPACE, scenario.name))
    if key_type == "text":
        return f"demo-{scenario.name.replace('_', '-')}"
    return str(await connection.fetchval(_QUERIES["next_number"]))
