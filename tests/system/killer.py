"""Install a handler that takes its whole process down: ``make recovery`` does."""

from pathlib import Path

EVENT_TYPE = "recovery.kills"
_METADATA = "Metadata-Version: 2.1\nName: recovery-killer\nVersion: 0\n"
_ENTRY_POINTS = "[sluice.handlers]\nkiller = tests.system.killing\n"


def install(folder: Path) -> str:
    """Make ``tests.system.killing`` one of the handlers of services whose ``PYTHONPATH`` is what this returns."""
    about = folder / "recovery_killer-0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(_METADATA)
    (about / "entry_points.txt").write_text(_ENTRY_POINTS)
    return str(folder)
