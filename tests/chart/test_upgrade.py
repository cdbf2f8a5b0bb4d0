"""`helm upgrade` from every version before: the values are still known, and nothing changes that cannot be changed."""

from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, merge, read, render
from tests.chart.readme import rows
from tests.chart.released_fields import FOLDER, fields_of, plain_jobs, values_of, version

RELEASED = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("released", RELEASED)
def test_what_cannot_change_stays_as_it_was(released: str) -> None:
    """Names, selectors, the kind of a Service, its lack of an address; new objects may come."""
    recorded = yaml.safe_load((FOLDER / f"{released}.yaml").read_text())
    now = fields_of(values_of(released))
    for release, objects in recorded.items():
        assert {name: now[release].get(name) for name in objects} == objects


@pytest.mark.parametrize("released", RELEASED)
def test_each_value_of_then_is_still_known(released: str) -> None:
    """The schema, strict as it is, takes all of them, and the chart renders."""
    assert render(values_of(released))


def test_the_version_of_today_is_a_contract_too() -> None:
    """Every value that is documented stands in its file, so that removing one fails this test."""
    set_then = {
        ".".join(path[:depth]) for path, _ in _leaves(values_of(version())) for depth in range(1, len(path) + 1)
    }
    assert {row.name for row in rows()} <= set_then
    assert version() in RELEASED, "python -m tests.chart.released_fields"


def test_a_migration_without_hooks_is_a_new_job_when_its_pod_changes() -> None:
    """A Job's pod cannot be changed; the same one keeps its name, so that nothing runs when nothing changed."""
    values = values_of(version())
    same, other = plain_jobs(values), plain_jobs(merge(values, {"image": {"tag": "0.0.1"}}))
    assert same == plain_jobs(merge(values, {"healthd": {"replicas": 3}}))
    assert len(same) == len(other) == 1
    assert not same.keys() & other.keys()


def test_the_development_job_is_found_by_its_name() -> None:
    """Tilt replaces it."""
    values = read(CHART.parent / "values" / "development.yaml")
    assert list(plain_jobs(values)) == ["shop-sluice-migrate"]


def _leaves(values: Any, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value that is no map with keys of the chart's own."""
    if isinstance(values, dict) and values and all(isinstance(key, str) and key.isidentifier() for key in values):
        return [leaf for key, inner in values.items() for leaf in _leaves(inner, (*at, key))]
    return [(at, values)]
