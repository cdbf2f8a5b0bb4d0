"""``sluice`` and ``python -m sluice.ops``."""

from sluice.ops.commands import sluice
from sluice.runtime import logs


def main() -> None:
    """Run one command; exit 0 for well, 1 for a failed check, 2 for a mistake in how it was called."""
    logs.configure("sluice", "warning")
    sluice(prog_name="sluice")


if __name__ == "__main__":
    main()
