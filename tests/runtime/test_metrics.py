import pytest

from sluice.runtime import metrics


def test_the_same_metric_named_twice_is_one_metric() -> None:
    """A module that is imported twice counts on in the same place."""
    metrics.counter("test_twice_total", "Twice.", ("kind",)).labels("a").inc()
    metrics.counter("test_twice_total", "Twice.", ("kind",)).labels("a").inc()
    assert b'test_twice_total{kind="a"} 2.0' in metrics.render()


def test_one_name_for_two_kinds_of_metric_is_refused() -> None:
    """Else a dashboard would show the one for the other."""
    metrics.gauge("test_kind", "A gauge.")
    with pytest.raises(TypeError, match="test_kind is a Gauge already"):
        metrics.histogram("test_kind", "A histogram.")


def test_the_process_and_its_python_are_shown() -> None:
    """Memory, file descriptors and version come with every service; times of creation do not."""
    shown = metrics.render().decode()
    assert "process_resident_memory_bytes" in shown
    assert "python_info" in shown
    assert "_created" not in shown
