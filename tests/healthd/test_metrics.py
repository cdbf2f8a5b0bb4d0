"""The metrics show the health state, in names of their own, and forget what is gone."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from healthd import metrics
from healthd.health_state import HealthState
from healthd.observations import Observation, Problem, ServiceSeen, WebhooksSeen
from sluice.runtime.metrics import render
from tests.healthd.builders import DATABASE, LIMITS, NOW, OTHER_REPLICA, REPLICA, healthy, seen


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Now, in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def state(clock: Clock) -> HealthState:
    """A health state that has seen nothing yet."""
    return HealthState(["ingest", "processor"], LIMITS, clock=clock)


def scraped(state: HealthState) -> dict[tuple[str, ...], float]:
    """Every ``healthd_*`` sample: name and label values, in the labels' order."""
    metrics.publish(state)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(render().decode())
        for sample in family.samples
        if sample.name.startswith("healthd_")
    }


def all_is_well(state: HealthState) -> None:
    """A first look at everything."""
    snapshot = healthy()
    for name, service in snapshot.services.items():
        state.put_service(name, service)
    state.put_database(snapshot.database)
    state.put_webhooks(snapshot.webhooks)
    state.put_schema(snapshot.schema)
    state.put_stream(snapshot.stream)


def test_figures_appear_as_they_were_seen(state: HealthState) -> None:
    """Pool utilisation of each replica, the server's connections against its limit, the journal's counts."""
    state.put_service("ingest", seen(ServiceSeen((REPLICA,))))
    state.put_database(seen(DATABASE))
    state.put_webhooks(
        seen(
            WebhooksSeen(
                backlog=7,
                failing=1,
                parked=2,
                dead=3,
                oldest_unprocessed_age_seconds=4.5,
                oldest_untried_age_seconds=2.5,
            )
        )
    )
    samples = scraped(state)
    replica = REPLICA.address
    assert samples["healthd_pool_utilisation", replica, "ingest"] == 0.1
    assert samples["healthd_pool_connections", replica, "ingest", "idle"] == 3
    assert samples["healthd_pool_connections", replica, "ingest", "busy"] == 1
    assert samples["healthd_pool_connections_max", replica, "ingest"] == 10
    assert samples["healthd_target_up", replica, "ingest"] == 1
    assert samples["healthd_service_live_replicas", "ingest"] == 1
    assert (samples["healthd_database_connections",], samples["healthd_database_connections_max",]) == (12, 100)
    assert [samples[f"healthd_webhooks_{name}",] for name in ("backlog", "failing", "parked", "dead")] == [7, 1, 2, 3]
    assert samples["healthd_oldest_unprocessed_age_seconds",] == 4.5
    assert samples["healthd_oldest_untried_age_seconds",] == 2.5


def test_a_replica_that_is_gone_is_gone_from_the_metrics(state: HealthState) -> None:
    """Labels follow the addresses of the newest look, so a rolling update leaves nothing behind."""
    state.put_service("ingest", seen(ServiceSeen((REPLICA, OTHER_REPLICA))))
    assert ("healthd_target_up", OTHER_REPLICA.address, "ingest") in scraped(state)
    state.put_service("ingest", seen(ServiceSeen((REPLICA,))))
    assert not [key for key in scraped(state) if OTHER_REPLICA.address in key]


def test_a_dead_replica_is_zero_and_has_no_pool(state: HealthState) -> None:
    """A source that is down is reported down; its last pool figures are not repeated."""
    dead = replace(REPLICA, problem=Problem.UNREACHABLE, pool=None, is_ready=False)
    state.put_service("ingest", seen(ServiceSeen((dead,))))
    samples = scraped(state)
    assert samples["healthd_target_up", REPLICA.address, "ingest"] == 0
    assert ("healthd_pool_utilisation", REPLICA.address, "ingest") not in samples


def test_what_is_not_known_is_no_number(state: HealthState, clock: Clock) -> None:
    """Before the first look, and after three periods without a good one, a figure is NaN and its age tells why."""
    assert math.isnan(scraped(state)["healthd_webhooks_backlog",])
    assert math.isnan(scraped(state)["healthd_database_up",])
    state.put_webhooks(seen(WebhooksSeen(backlog=7)))
    clock.now += LIMITS.stale_seconds
    assert scraped(state)["healthd_webhooks_backlog",] == 7
    clock.now += 0.1
    assert math.isnan(scraped(state)["healthd_webhooks_backlog",])


def test_a_source_that_was_never_seen_ages_from_the_start(state: HealthState, clock: Clock) -> None:
    """Or healthd could be blind from its first moment on, and no alert would tell."""
    clock.now += 61
    assert scraped(state)["healthd_poll_age_seconds", "schema"] == 61


def test_there_is_no_verdict_before_everything_was_looked_at(state: HealthState) -> None:
    """A start is no outage: an alert could not tell "not known yet" from "cannot be known"."""
    state.put_database(seen(DATABASE))
    assert not [key for key in scraped(state) if key[0] in ("healthd_status", "healthd_finding")]
    all_is_well(state)
    assert scraped(state)["healthd_status", "healthy"] == 1


def test_ages_grow_without_another_look(state: HealthState, clock: Clock) -> None:
    """A poller that hangs shows in its age at the next scrape."""
    state.put_database(seen(DATABASE))
    metrics.publish(state)
    clock.now += 42
    assert 'healthd_poll_age_seconds{source="database"} 42.0' in render().decode()


def test_the_verdict_and_its_reasons_are_metrics_too(state: HealthState) -> None:
    """One status is 1 at any time, and a reason is there only while it holds."""
    all_is_well(state)
    for _ in range(2):
        state.put_database(Observation().missed(Problem.UNREACHABLE, at=NOW))
    samples = scraped(state)
    assert samples["healthd_status", "unhealthy"] == 1
    assert sum(value for key, value in samples.items() if key[0] == "healthd_status") == 1
    assert samples["healthd_finding", "database_down", ""] == 1
    for _ in range(2):
        state.put_database(seen(DATABASE))
    assert ("healthd_finding", "database_down", "") not in scraped(state)


def test_a_process_that_has_not_looked_yet_tells_of_no_outage() -> None:
    """The admin port opens before the first look; an unset gauge would be 0, which means away."""
    program = "import healthd.metrics; from sluice.runtime.metrics import render; print(render().decode())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    samples = [line for line in done.stdout.splitlines() if line.startswith("healthd_")]
    assert "healthd_database_up NaN" in samples
    assert all(sample.endswith(" NaN") for sample in samples)
