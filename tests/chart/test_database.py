"""The chart's queries of PostgreSQL run, with the roles that it gives to each."""

import json
from collections.abc import Callable

import asyncpg

from sluice.ops.send.effects import await_effects
from sluice.simulator.builder import Subject
from sluice.simulator.client import Answer, Attempt
from sluice.simulator.deliveries import ScenarioRun, in_order
from tests.chart.helm import CHART, Values, merge, of_kind, render

MOST_BLOCKS = 60
DUE = (CHART / "files" / "due.sql").read_text()
_ROW = (
    "INSERT INTO webhook_logs (stripe_event_id, webhook_type, body, processed, dead_at, published_at, next_attempt_at)"
    " SELECT $1 || n, 'test.any', '{}', $2, CASE WHEN $3 THEN now() END, CASE WHEN $4 THEN now() END,"
    " now() + $5 * interval '1 hour' FROM generate_series(1, $6::integer) AS n"
)


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction(readonly=True):
            return int(await connection.fetchval(DUE))
    finally:
        await connection.close(timeout=5)


async def test_keda_counts_what_processors_have_to_do(database_url: str, role_url: Callable[[str], str]) -> None:
    """Published and untried, or due again; as a read-only member of sluice_healthd, and 10,000 at most."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        rows = [  # processed, dead, published, due in hours, how many
            ("waiting", False, False, True, 1, 3),
            ("due", False, False, False, -1, 4),
            ("later", False, False, False, 1, 5),
            ("done", True, False, True, -1, 6),
            ("dead", False, True, False, -1, 7),
        ]
        for row in rows:
            await connection.execute(_ROW, *row)
        assert await _count(role_url("healthd")) == 3 + 4
        await connection.execute(_ROW, "many", False, False, False, -1, 12_000)
        assert await _count(role_url("healthd")) == 10_000
    finally:
        await connection.close(timeout=5)


async def test_keda_s_count_reads_the_partial_indexes(database_url: str, role_url: Callable[[str], str]) -> None:
    """However many rows are processed, it touches a few blocks."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        await connection.execute(_ROW, "done", True, False, True, -1, 20_000)
        await connection.execute("ANALYZE webhook_logs")
    finally:
        await connection.close(timeout=5)
    asker = await asyncpg.connect(role_url("healthd"), timeout=10)
    try:
        await asker.fetchval(DUE)
        (plan,) = json.loads(await asker.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {DUE}"))
    finally:
        await asker.close(timeout=5)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] <= MOST_BLOCKS


def test_the_scaled_object_asks_exactly_that(everything: Values) -> None:
    """And names the Secret of a role of its own; never down to nothing."""
    manifests = render(merge(everything, {"secrets": {"kedaDatabaseUrl": {"name": "keda", "key": "url"}}}))
    spec = of_kind(manifests, "ScaledObject")["processor"]["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["query"].split() == DUE.split()
    assert spec["minReplicaCount"] >= 1
    assert spec["fallback"]["replicas"] >= 1
    authentication = of_kind(manifests, "TriggerAuthentication")["processor"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"]["secretTargetRef"] == [{"parameter": "connection", "name": "keda", "key": "url"}]


async def test_helm_test_waits_for_the_effect_as_the_processor(
    database_url: str, role_url: Callable[[str], str]
) -> None:
    """Unprocessed webhooks are named; processed ones are found, with the rights of sluice_processor."""
    run = ScenarioRun.of("checkout_paid", Subject("A test"), secret="whsec")
    deliveries = in_order(run, seed="1", ends_at=1_800_000_000)
    answers = [Answer(one, (Attempt(200, 0.01),)) for one in deliveries]
    ids = sorted({one.event.stripe_event_id for one in deliveries})
    assert await await_effects(role_url("processor"), answers, within_seconds=0) == ids
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        for name in ids[1:]:
            await connection.execute(_ROW.replace("$1 || n", "$1 || left(n::text, 0)"), name, True, False, True, 1, 1)
    finally:
        await connection.close(timeout=5)
    assert await await_effects(role_url("processor"), answers, within_seconds=0) == ids[:1]
