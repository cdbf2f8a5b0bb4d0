"""CPU time of processes."""

import os
import subprocess
import sys
import time

import pytest

from bench.cpu import children_of, cpu_seconds, ended_seconds

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="there is no /proc here")  # noqa: PTH110

_SPIN_SECONDS = 0.2
_SPIN = f"import time\nwhile time.process_time() < {_SPIN_SECONDS}: pass"


def test_the_cpu_time_of_a_process_is_what_it_computed() -> None:
    """It grows with its work, about as its own clock says."""
    before, began = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() - began < _SPIN_SECONDS:
        pass
    assert cpu_seconds(os.getpid()) - before == pytest.approx(_SPIN_SECONDS, rel=0.5)


def test_a_child_that_ended_is_counted_with_its_parent() -> None:
    """As PostgreSQL's workers are, which come and go."""
    before = ended_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", _SPIN], check=True)
    assert ended_seconds(os.getpid()) - before >= _SPIN_SECONDS / 2


def test_children_are_those_that_have_not_ended() -> None:
    """A child is among them until it has ended, and its time is 0 from then on."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children_of(os.getpid())
        child.communicate(b"\n")
    assert child.pid not in children_of(os.getpid())
    assert cpu_seconds(child.pid) == 0
