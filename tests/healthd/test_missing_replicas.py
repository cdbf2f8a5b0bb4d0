"""A replica that is not there has no address; one that is ill has an address that does not answer."""

import pytest
from pydantic import ValidationError

from healthd.findings import Limits, service_findings
from healthd.health_state import HealthState
from healthd.observations import Observation, Problem, ReplicaSeen, ServiceSeen
from healthd.rules import Finding, Reason
from healthd.settings import Settings

TARGETS = "ingest=http://a:9090,processor=http://b:9090"
LIVE = ReplicaSeen("10.0.0.1:9090", is_ready=True)
SILENT = ReplicaSeen("10.0.0.2:9090", Problem.TIMED_OUT)


def _reasons(*replicas: ReplicaSeen) -> set[Finding]:
    observation = Observation(ServiceSeen(replicas), seen_at=1.0, looked_at=1.0)
    found = service_findings("processor", observation, Limits(replicas_at_least={"processor": 2}))
    return {one for one in found if one.reason in (Reason.REPLICA_MISSING, Reason.REPLICA_DOWN)}


def test_fewer_addresses_than_the_minimum_is_a_missing_replica() -> None:
    """A missing replica is missing, not slow."""
    assert _reasons(LIVE) == {Finding(Reason.REPLICA_MISSING, "processor")}


def test_an_address_that_does_not_answer_is_not_missing() -> None:
    """It is down."""
    assert _reasons(LIVE, SILENT) == {Finding(Reason.REPLICA_DOWN, "processor")}


def test_enough_is_enough() -> None:
    """One more in a rolling update is fine too."""
    assert _reasons(LIVE, LIVE) == set()
    assert _reasons(LIVE, LIVE, LIVE) == set()


def _settings(replicas: str) -> Settings:
    return Settings.model_validate(
        {"database_url": "postgresql://host/db", "health_targets": TARGETS, "health_replicas": replicas}
    )


def test_the_minimum_is_a_setting() -> None:
    """No number of replicas is required unless it is configured."""
    assert _settings("").limits.replicas_at_least == {}
    assert _settings("ingest=2, processor=3").limits.replicas_at_least == {"ingest": 2, "processor": 3}


@pytest.mark.parametrize("replicas", ["ingest", "ingest=", "ingest=-1", "ingest=two", "other=2"])
def test_a_wrong_minimum_is_a_fault_of_the_configuration(replicas: str) -> None:
    """With the name of the setting."""
    with pytest.raises(ValidationError, match="HEALTH_REPLICAS"):
        _settings(replicas)


def test_the_verdict_tells_of_it_when_two_looks_agree() -> None:
    """Degraded: the others do its work."""
    state = HealthState(["processor"], Limits(replicas_at_least={"processor": 2}))
    for _ in range(2):
        state.put_service("processor", Observation(ServiceSeen((LIVE,)), seen_at=state.now(), looked_at=state.now()))
    assert Finding(Reason.REPLICA_MISSING, "processor") in state.verdict().findings
