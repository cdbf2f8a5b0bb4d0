"""A disk that is full for one process: whatever it appends fails, by a limit on the size of its files."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import SkipTest


@contextmanager
def full_disk(pid: int, store: Path) -> Iterator[None]:
    """In this block whatever that process appends to its store fails, as on a full disk; later it does not."""
    if not hasattr(resource, "prlimit"):
        raise SkipTest("only Linux sets limits of other processes")
    largest = max((file.stat().st_size for file in store.rglob("*.blk")), default=0)
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, unlimited[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
