"""The programs that only a watched system needs: Debian's package ``prometheus`` has both."""

from tests import programs


def program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; without it the test is skipped by name, and in CI it fails."""
    return programs.program(name, "prometheus")
