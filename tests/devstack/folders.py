"""Folders for servers that may run as another user."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that every user may pass through, unlike pytest's own; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
